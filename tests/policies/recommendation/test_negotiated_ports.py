"""Ports that are given out afresh become the range that they are given out from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import run

HEADER = "ts,src_ip,dst_ip,proto,src_port,dst_port,state\n"


def rows(client: str, control: int, ports: range, times: int = 1) -> str:
    lines = [f"1,{client},10.0.3.31,tcp,40000,{control},established\n"] * 20
    lines += [f"2,{client},10.0.3.31,tcp,41000,{p},established\n" for p in ports] * times
    return "".join(lines)


def recommended(tmp_path: Path, text: str) -> tuple[Path, str]:
    flows, out = tmp_path / "f.csv", tmp_path / "rec.yaml"
    flows.write_text(HEADER + text)
    args = ["--flows", str(flows), "-o", str(out), "--mode", "enforce"]
    assert run(["policy", "recommend", *args]) == 0
    return out, out.read_text().partition("intents:")[2]


@pytest.mark.parametrize("control", [21, 135, 554])
@pytest.mark.parametrize(("first", "low"), [(50_000, 49_152), (40_000, 32_768), (20_000, 1024)])
def test_the_next_day_passes_and_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], control: int, first: int, low: int
) -> None:
    text = rows("10.0.1.11", control, range(first, first + 20))
    policy, allows = recommended(tmp_path, text)
    assert f"tcp/{low}-65535" in allows
    tomorrow = tmp_path / "tomorrow.csv"
    tomorrow.write_text(HEADER + rows("10.0.1.11", control, range(first + 100, first + 120)))
    capsys.readouterr()
    run(["policy", "simulate", str(policy), "--flows", str(tomorrow), "--json"])
    assert json.loads(capsys.readouterr().out)["connections"]["newly-blocked"] == 0
    tomorrow.write_text(HEADER + rows("10.0.1.11", 22, range(1000, 1001)))
    run(["policy", "simulate", str(policy), "--flows", str(tomorrow), "--json"])
    assert json.loads(capsys.readouterr().out)["connections"]["newly-blocked"] == 21


@pytest.mark.parametrize(
    ("control", "ports", "times"),
    [(22, range(50_000, 50_010), 1), (21, range(50_000, 50_003), 1), (21, range(8_000, 8_010), 9)],
)
def test_other_ports_are_services_of_their_own(
    tmp_path: Path, control: int, ports: range, times: int
) -> None:
    _, allows = recommended(tmp_path, rows("10.0.1.11", control, ports, times))
    assert "-65535" not in allows
