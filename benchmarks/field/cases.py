"""Inputs from the field: one folder a case, with what the right answer is.

The folder is named by SEPTUM_CASES, default ``../shared/cases``; each case stands for its kind, and
is put to the public command or function as a user would.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.runner import Benchmark, Figure, MissingData, Target
from console.cli import run
from policies.language.reader import load_policy
from response.feeds.archive import FeedArchive
from response.feeds.entries import FeedError, FeedReading
from response.feeds.keeper import FeedRecord
from response.feeds.read import read_feed
from response.state.store import Store

CASES = "SEPTUM_CASES"
COUNT = 40


@dataclass(frozen=True)
class CommandAnswer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def folder() -> Path:
    """Where the cases are. Raises `MissingData`."""
    found = Path(os.environ.get(CASES) or Path(__file__).parents[3] / "shared" / "cases") / "field"
    if not found.is_dir():
        raise MissingData(f"no {found}: set {CASES} to the folder of cases")
    return found


def ask(*words: str, stdin: bytes = b"") -> CommandAnswer:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(list(words))
    finally:
        sys.stdin = before
    return CommandAnswer(code, out.getvalue(), err.getvalue())


def policy(*words: str, stdin: bytes = b"") -> CommandAnswer:
    return ask("policy", *words, stdin=stdin)


def judged(name: str, flows: str, *more: str, stdin: bytes = b"") -> dict[str, int]:
    """The counts of ``policy simulate`` that are not 0."""
    answer = policy("simulate", name, "--flows", flows, "--json", *more, stdin=stdin)
    return {kind: n for kind, n in answer.data["connections"].items() if n}


def entries(name: str, form: str) -> FeedReading | None:
    """What a feed lists, None where it is refused."""
    try:
        return read_feed(Path(name).read_bytes(), form)
    except FeedError:
        return None


def listed(name: str, form: str) -> list[str]:
    reading = entries(name, form)
    return [] if reading is None else [
        each.text + ("" if each.service is None else f" {each.service}") for each in reading.entries
    ]  # fmt: skip


def _f01() -> bool:
    changed = policy("diff", "old.yaml", "new.yaml")
    return changed.code == 1 and "arp" in changed.out and policy(
        "diff", "new.yaml", "new.yaml"
    ).code == 0  # fmt: skip


def _f02() -> bool:
    Path("off.yaml").write_text(Path("p.yaml").read_text().replace("dhcp: allow", "dhcp: deny"))
    return judged("p.yaml", "conn.log") == {"allowed": 1} and "allowed" not in judged(
        "off.yaml", "conn.log"
    )


def _f03() -> bool:
    return judged("p.yaml", "f.csv") == {"newly-blocked": 1, "allowed": 1}


def _f04() -> bool:
    wrong = policy("check", "p.yaml", "--strict")
    Path("q.yaml").write_text(Path("p.yaml").read_text().replace("dorp.txt", "drop.txt"))
    return wrong.code == 1 and "dorp.txt" in wrong.text and policy("check", "q.yaml").code == 0


def _f05() -> bool:
    wanted = policy("recommend", "--flows", "nf.csv", "--json").data["connections"]
    return judged("shop.yaml", "nf.csv") == {"allowed": 1} and wanted == 1


def _f06() -> bool:
    return set(judged("p.yaml", "order.csv")) == set(judged("p.yaml", "ordered.csv")) == {"allowed"}


def _f10() -> bool:
    again = judged("shop.yaml", "-", stdin=Path("f.csv").read_bytes())
    return judged("shop.yaml", "f.csv") == again == {"allowed": 2}


def _f11() -> bool:
    ways = [
        policy("simulate", "shop.yaml", "--flows", "ms.csv"),
        policy("simulate", "shop.yaml", "--flows", "-", stdin=Path("ms.csv").read_bytes()),
        ask("detect", "--flows", "ms.csv", "--scores", "s.csv"),
    ]
    return all(each.code == 2 and "time" in each.text for each in ways)


def _f12() -> bool:
    return all(
        policy("simulate", "shop.yaml", "--flows", name, "--refuse-days", "7").code == 1
        for name in ("jump.csv", "good.csv")
    )


def _f16() -> bool:
    answer = policy("check", "mapped.yaml", "--strict")
    return answer.code != 0 and "::ffff:192.0.2.0/120" in answer.text


def _f17() -> bool:
    return judged("shop.yaml", "vntag.pcap") == {"allowed": 1}


def _f20() -> bool:
    answer = policy("recommend", "--flows", "vntag.pcap", "-o", "out.yaml")
    return answer.code != 0 or " 0 connections" not in answer.text


def _f23() -> bool:
    reading = entries("otx.csv", "csv")
    return (
        listed("otx.csv", "csv") == ["198.51.100.7/32"]
        and reading is not None
        and reading.passed_over.total == 3
    )


def _f24() -> bool:
    forms = [listed("drop_v4.json", form) for form in ("cidr-list", "csv", "json", "stix2")]
    return ["198.51.100.0/24", "203.0.113.0/25"] in forms


def _f27() -> bool:
    reading = entries("conf.csv", "csv")
    return reading is not None and (
        reading.bad.total == 0 or "0 to 100" in reading.bad.first[0].reason
    )


def _f28() -> bool:
    link = Path("pol") / "deny.yaml"
    link.unlink()
    link.symlink_to("../gone/deny.yaml")
    answer = policy("check", "pol", "--strict")
    traced = policy("trace", "pol", "--from", "web1", "--to", "db1", "--service", "tcp/5432")
    return answer.code in (1, 2) and "deny.yaml" in answer.text and traced.code != 0


def _f30() -> bool:
    answer = policy("check", "p.yaml", "--strict")
    return answer.code == 1 and "ping6" in answer.text and "'web'" not in answer.text


def _f33() -> bool:
    return policy("check", "p.yaml").code == 0


def _f36() -> bool:
    answer = policy("check", "names.yaml", "--strict")
    return answer.code == 1 and "10.0.1.12" in answer.text


def _f38() -> bool:
    answer = policy("check", "p.yaml")
    return ":9:" in answer.text and "U+00A0" in answer.text


def _f35() -> bool:
    made = policy(
        "recommend", "--flows", "day1.csv", "-o", "rec.yaml", "--mode", "enforce", "--json"
    )
    after = judged("rec.yaml", "day2.csv")
    cut = after.get("newly-blocked", 0)
    return made.code == 0 and (cut <= 4 or made.data["coverage"] < 0.99)


def _f37() -> bool:
    policy("recommend", "--flows", "acl.csv", "-o", "rec.yaml")
    allowed = "tcp/22]" in Path("rec.yaml").read_text()
    return judged("shop.yaml", "acl.csv") == {"blocked": 1} and not allowed


def _f39() -> bool:
    again = judged("p.yaml", "-", stdin=Path("f.csv").read_bytes())
    return judged("p.yaml", "f.csv") == again == {"allowed": 1}


def _f40() -> bool:
    """What the feeds of a policy are called is whole in a list that is piped."""
    feeds = load_policy(["p.yaml"]).feeds
    records = {f.name: FeedRecord(f.name, "", f.path, f.format, "audit", 60) for f in feeds}
    state = Path("state")
    state.mkdir(mode=0o700)
    archive = FeedArchive(state)
    for record in records.values():
        archive.keep(record)
    Store.open(state, 1.0).close()
    lines = ask("feeds", "list", "--state", str(state)).out.splitlines()
    return all(sum(name in line for line in lines) == 1 for name in records)


def _allowed(name: str, *flows: str) -> Callable[[], bool]:
    return lambda: all(judged(name, each) == {"allowed": 1} for each in flows)


CHECKS: dict[str, Callable[[], bool]] = {
    "f01": _f01, "f02": _f02, "f03": _f03, "f04": _f04, "f05": _f05, "f06": _f06,
    "f07": _allowed("p.yaml", "conn.log"),
    "f08": _allowed("shop.yaml", "conn.log", "mid.pcap"),
    "f09": lambda: "newly-blocked" not in judged("p.yaml", "conn.log"),
    "f10": _f10, "f11": _f11, "f12": _f12,
    "f13": _allowed("shop.yaml", "conn.log"),
    "f14": lambda: judged("shop.yaml", "all.json") == {"newly-blocked": 1, "allowed": 1},
    "f15": _allowed("p.yaml", "conn.log"),
    "f16": _f16, "f17": _f17,
    "f18": _allowed("shop.yaml", "fcs.pcap", "plain.pcap"),
    "f19": _allowed("shop.yaml", "two.pcapng"),
    "f20": _f20,
    "f21": lambda: listed("dshield.txt", "csv")
    == ["198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"],
    "f22": lambda: listed("threatfox.csv", "csv")
    == ["198.51.100.37/32 tcp/8080", "203.0.113.5/32 tcp/443"],
    "f23": _f23, "f24": _f24,
    "f25": lambda: listed("s20benign.json", "stix2") == ["203.0.113.9/32"],
    "f26": lambda: listed("qport.json", "stix2")
    == ["198.51.100.7/32 tcp/443", "198.51.100.7/32 udp/443"],
    "f27": _f27, "f28": _f28,
    "f29": lambda: "'icmpv6'" in policy("check", "p.yaml").text,
    "f30": _f30,
    "f31": lambda: "tcp/443" in policy("check", "p.yaml").text,
    "f32": _f33, "f33": _f33, "f34": _f33,
    "f35": _f35, "f36": _f36, "f37": _f37, "f38": _f38, "f39": _f39, "f40": _f40,
}  # fmt: skip


@contextlib.contextmanager
def _inside(case: Path) -> Iterator[None]:
    """A copy of a case's folder that may be written to, as working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / case.name
        shutil.copytree(case, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.chdir(copy)
        try:
            yield
        finally:
            os.chdir(before)


def right() -> Figure:
    """How many cases get the right answer; the others are named."""
    cases, wrong = folder(), []
    for name, check in CHECKS.items():
        with _inside(cases / name):
            try:
                good = check()
            except Exception as problem:  # an answer that cannot be read is a wrong one
                good = False
                name = f"{name} ({type(problem).__name__})"
        if not good:
            wrong.append(name)
    return Figure(len(CHECKS) - len(wrong), f"wrong: {', '.join(wrong)}" if wrong else "")


BENCHMARKS = (Benchmark("field.cases_right", Target(">=", COUNT, "cases"), right),)
