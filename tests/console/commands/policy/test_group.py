"""`septum policy check|trace|test|schema` as scripts see them: output and exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from console.cli import run
from policies.language.json_schema import policy_schema
from policies.rules.layout import Category, cookie, name_number

ROOT = Path(__file__).parents[4]
SHOP = str(ROOT / "policies" / "examples" / "shop.yaml")
HEAD = "apiVersion: septum/v1\nkind: SegmentPolicy\n"


def septum(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["policy", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = septum(capsys, *words, "--json")
    assert err == "" and code in (0, 1)
    return json.loads(out)


def test_check_of_a_good_policy(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = septum(capsys, "check", SHOP, "--strict")
    assert (code, out, err) == (0, f"{SHOP}: valid, 0 errors, 0 warnings\n", "")


def test_check_shows_every_error_with_a_caret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "defaults: {mod: audit}\nhost: {}\n")
    code, out, _ = septum(capsys, "check", str(file))
    assert code == 1
    assert f"{file}:3:12: error: unknown key 'mod' in defaults (did you mean 'mode'?)" in out
    assert "    3 | defaults: {mod: audit}\n      |            ^^^" in out
    assert f"{file}:4:1: error: unknown key 'host' in a policy (did you mean 'hosts'?)" in out
    assert out.endswith("not valid, 2 errors, 1 warning\n")
    data = asked(capsys, "check", str(file))
    assert data["valid"] is False and data["errors"] == 2
    assert {(d["code"], d["line"], d["column"]) for d in data["diagnostics"]} == {
        ("unknown-key", 3, 12), ("unknown-key", 4, 1), ("default-mode", 3, 11),
    }  # fmt: skip


def test_strict_counts_warnings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD)
    assert septum(capsys, "check", str(file))[0] == 0
    assert septum(capsys, "check", str(file), "--strict")[0] == 1


def test_check_finds_what_the_compiler_would_refuse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    many = "".join(f"  s{n}: {{members: [{{cidr: 10.0.0.0/24}}]}}\n" for n in range(9))
    intents = ", ".join(f"{{name: i{n}, from: s{n}, to: any, services: any}}" for n in range(9))
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "segments:\n" + many + f"intents: [{intents}]\n")
    code, out, _ = septum(capsys, "check", str(file))
    assert code == 1 and "overlaps too many others" in out


def test_check_knows_the_switch_s_tables_when_told_their_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "p.yaml"
    ports = ", ".join(f"tcp/{port}" for port in range(1, 200, 2))
    file.write_text(
        HEAD
        + "defaults: {mode: enforce}\n"
        + "hosts: {a: {ip: 10.0.0.1, mac: '02:00:00:00:00:01', switch: 7, port: 1}}\n"
        + "segments: {s: {members: [{host: a}]}}\n"
        + "intents:\n- {name: few, from: s, to: s, services: tcp/9000}\n"
        + f"- {{name: many, from: s, to: s, services: [{ports}]}}\n"
    )
    assert septum(capsys, "check", str(file), "--strict", "--table-size", "1000")[0] == 0
    code, out, _ = septum(capsys, "check", str(file), "--table-size", "50")
    assert code == 0 and f"{file}:8:3: warning: switch 7 needs 1" in out
    assert (
        "rules in table policy, which holds 50 (most are for intent many (100), intent few (1)"
        in out
    )
    assert septum(capsys, "check", str(file), "--strict", "--table-size", "50")[0] == 1
    assert septum(capsys, "check", str(file), "--table-size", "0")[0] == 2


@pytest.mark.parametrize("command", ["check", "trace", "test"])
def test_a_missing_file_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = ["--from", "a", "--to", "b", "--service", "tcp/1"] if command == "trace" else []
    code, out, err = septum(capsys, command, "/nowhere/p.yaml", *more)
    assert (code, out) == (2, "")
    assert err == "septum: /nowhere/p.yaml: no such file or directory\n"


def trace(capsys: pytest.CaptureFixture[str], origin: str, target: str, service: str) -> Any:
    words = ("--from", origin, "--to", target, "--service", service)
    return asked(capsys, "trace", SHOP, *words)


def test_trace_names_all_that_a_verdict_has(capsys: pytest.CaptureFixture[str]) -> None:
    found = trace(capsys, "app1", "db1", "postgres")
    source = found.pop("source")
    assert source.startswith(f"{SHOP}:") and "name: app-to-db" in _line(source)
    assert found.items() >= {
        "action": "allow", "forwarded": True, "mode": "enforce", "tier": "application",
        "intent": "app-to-db", "from_segments": ["app", "shop"], "to_segments": ["db", "shop"],
        "nearest_miss": None, "src_ip": "10.0.2.21", "dst_ip": "10.0.3.31",
        "service": "tcp/5432", "reply": False,
    }.items()  # fmt: skip
    denied = trace(capsys, "web1", "db1", "postgres")
    assert (denied["action"], denied["tier"], denied["intent"]) == ("deny", "default", None)
    assert denied["nearest_miss"] == {"intent": "app-to-db", "failed": ["from"]}
    assert denied["source"] is None


def _line(source: str) -> str:
    file, _, line = source.rpartition(":")
    return Path(file).read_text().splitlines()[int(line) - 1]


def test_trace_for_people_and_of_replies(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("trace", SHOP, "--from", "app1", "--to", "db1", "--service", "tcp/5432", "--reply")
    code, out, _ = septum(capsys, *words)
    assert code == 0
    assert out.startswith("app1 <- db1 tcp/5432: allow by app-to-db (enforce)\n")
    assert asked(capsys, *words)["reply"] is True


def test_trace_lists_the_rules_on_both_edges(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("trace", SHOP, "--from", "web1", "--to", "app1", "--service", "backend")
    _, out, _ = septum(capsys, *words)
    number = f"{cookie(Category.INTENT, name_number('web-to-app')):#018x}"
    assert [line.split(",")[0] for line in out.splitlines() if number in line] == [
        f"  switch 1: cookie={number}",
        f"  switch 2: cookie={number}",
    ]
    rules = asked(capsys, *words)["rules"]
    deciding = [(r["switch"], r["table_name"]) for r in rules if r["decides"]]
    per_switch = ["source", "target", "policy"]
    assert deciding == [(switch, table) for switch in (1, 2) for table in per_switch]
    assert (rules[-1]["switch"], _port_written(rules)) == (2, 2)
    back = asked(capsys, *words, "--reply")["rules"]
    assert [r["switch"] for r in back if r["cookie"] == number] == [2, 1]
    assert (back[-1]["switch"], _port_written(back)) == (1, 3)
    assert "rules" not in asked(capsys, *words, "--no-rules")


def _port_written(rules: list[dict[str, Any]]) -> int:
    """The port in the register that the last rule sends the packet out of."""
    (out,) = rules[-1]["actions"]
    assert out["action"] == "outputregister"
    loads = [a for r in rules for a in r["actions"] if a["action"] == "load"]
    written = [a["value"] for a in loads if a["target"] == out["source"]]
    return int(written[-1])


def test_trace_of_someone_beyond_the_router_has_the_rules_of_the_near_edge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = trace(capsys, "203.0.113.7", "lb1", "tcp/443")
    assert {rule["switch"] for rule in found["rules"]} == {1}
    assert trace(capsys, "203.0.113.7", "203.0.113.8", "tcp/443")["rules"] == []


def test_trace_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = septum(
        capsys, "trace", SHOP, "--from", "web1", "--to", "web2", "--service", "ssh"
    )
    assert code == 0
    assert "deny by no-ssh-inside" in out
    assert "nearest miss break-glass (fails in from)" in out


def test_many_packets_are_answered_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "app1,db1,tcp/5432\nweb1,db1,tcp/5432\n\n192.0.2.1,lb1,tcp/80\n"
    file = tmp_path / "q.csv"
    file.write_text("from,to,service\n" + rows)
    answers = asked(capsys, "trace", SHOP, "--packets", str(file))
    assert [a["action"] for a in answers] == ["allow", "deny", "allow"]
    monkeypatch.setattr("sys.stdin", io.StringIO(rows))
    code, out, _ = septum(capsys, "trace", SHOP, "--packets", "-")
    assert code == 0
    assert [line.split(": ")[1].split()[0] for line in out.splitlines()] == [
        "allow", "deny", "allow",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("web1,db1\n", "q.csv:1: 2 cells"),
        ("from,to,service\nweb1,db9,tcp/1\n", "q.csv:2: 'db9'"),
        ("web1,db1,tcp\n", "q.csv:1: 'tcp' has many ports"),
    ],
)
def test_a_bad_question_names_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rows: str, words: str
) -> None:
    file = tmp_path / "q.csv"
    file.write_text(rows)
    code, out, err = septum(capsys, "trace", SHOP, "--packets", str(file))
    assert (code, out) == (2, "")
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--from", "web1"),
        ("--from", "web1", "--to", "db1", "--service", "tcp/1", "--packets", "x"),
        ("--packets", "/nowhere/q.csv"),
    ],
)
def test_trace_needs_a_whole_question(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = septum(capsys, "trace", SHOP, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.thorough
def test_policy_tests_with_junit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    code, out, _ = septum(capsys, "test", SHOP, "--junit", str(report))
    assert code == 0 and out.endswith(" tests, 0 failed\n")
    suite = ElementTree.parse(report).getroot()
    assert suite.get("failures") == "0" and int(suite.get("tests", "0")) == len(suite) > 10

    wrong = tmp_path / "wrong.yaml"
    text = Path(SHOP).read_text()
    wrong.write_text(
        text.replace("service: rsync, expect: deny}", "service: rsync, expect: allow}")
    )
    code, out, _ = septum(capsys, "test", str(wrong), "--junit", str(report))
    assert code == 1
    assert "FAILED backup -> web1 tcp/873: allow\n" in out
    assert "10.0.4.60 -> 10.0.1.11 tcp/873 got deny by default" in out
    suite = ElementTree.parse(report).getroot()
    assert suite.get("failures") == "1" and len(suite.findall("testcase/failure")) == 1
    data = asked(capsys, "test", str(wrong))
    assert data["failed"] == 1 and sum(not test["passed"] for test in data["tests"]) == 1


def test_an_invalid_policy_is_exit_1_everywhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "bogus: 1\n")
    code, out, err = septum(capsys, "test", str(file))
    assert (code, out) == (1, "")
    assert f"{file}:3:1: error: unknown key 'bogus'" in err


def test_the_published_schema_is_the_grammar(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = septum(capsys, "schema")
    assert code == 0 and json.loads(out) == policy_schema()
    published = (ROOT / "docs" / "policy-schema.json").read_text()
    assert published == out, "run `septum policy schema > docs/policy-schema.json`"
