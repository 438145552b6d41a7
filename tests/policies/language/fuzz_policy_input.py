"""Coverage-guided fuzzing of everything that `septum policy` reads.

Whatever bytes stand in a policy, an inventory or a recording, reading ends with findings or one
line, never with another exception. What crashes it is kept in FOLDER, as is what it learnt:

    .venv/bin/python tests/policies/language/fuzz_policy_input.py FOLDER -max_total_time=600
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")

sys.path.insert(0, str(Path(__file__).parents[3]))

with atheris.instrument_imports(include=["policies", "topology", "yaml"]):
    from policies.language.errors import render
    from policies.language.reader import read_policy
    from policies.recommendation import policy_text, recommend
    from policies.review.lint import check_policy
    from policies.review.recorded_traffic import read_traffic
    from policies.semantics.membership import Membership
    from topology.readers import TrafficError

HEADER = b"apiVersion: septum/v1\nkind: SegmentPolicy\ndefaults: {mode: enforce}\n"
COLUMNS = b"ts,src_ip,dst_ip,proto,dst_port,packets,bytes,state\n"
WHERE = Path()  # where inputs are written, set by `main`


def policy(data: bytes) -> None:
    _read("p.yaml", data)


def sections(data: bytes) -> None:
    _read("p.yaml", HEADER + data)


def inventory(data: bytes) -> None:
    (WHERE / "main.yaml").write_bytes(HEADER + b"include: hosts.csv\n")
    (WHERE / "hosts.csv").write_bytes(data)
    _read("main.yaml")


def flows(data: bytes) -> None:
    _flows(data)


def rows(data: bytes) -> None:
    _flows(COLUMNS + data)


def _read(name: str, data: bytes | None = None) -> None:
    path = WHERE / name
    if data is not None:
        path.write_bytes(data)
    result = read_policy([path])
    for diagnostic in result.diagnostics:
        render(diagnostic, result.texts)
    if result.policy is not None:
        check_policy(result.policy, Membership(result.policy), 0.0)


def _flows(data: bytes) -> None:
    path = WHERE / "flows"
    path.write_bytes(data)
    try:
        traffic = read_traffic(path)
    except TrafficError:
        return
    _read("recommended.yaml", policy_text(recommend(traffic)).encode())


KINDS = (policy, sections, inventory, flows, rows)


def one_input(data: bytes) -> None:
    """The first byte chooses what the others are read as."""
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


def seeds(folder: Path) -> None:
    examples = Path(__file__).parents[3] / "policies" / "examples"
    for number, path in enumerate(sorted(examples.rglob("*.*"))):
        kind = KINDS.index(inventory if path.suffix == ".csv" else policy)
        (folder / str(number)).write_bytes(bytes([kind]) + path.read_bytes())
    row = b"1,10.0.0.1,10.0.0.2,tcp,22,5,100,\n2,10.0.0.1,fd00::2,6,22,5,100,denied\n"
    (folder / "rows").write_bytes(bytes([KINDS.index(rows)]) + row)


def main() -> None:
    """Fuzz in a folder that the caller removes: the fuzzer ends the process without cleaning up."""
    global WHERE
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: fuzz_policy_input.py FOLDER [libFuzzer options]")
    WHERE, corpus = Path(sys.argv[1]), Path(sys.argv[1]) / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds(corpus)
    options = [sys.argv[0], *sys.argv[2:], f"-artifact_prefix={WHERE}/", str(corpus)]
    atheris.Setup(options, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
