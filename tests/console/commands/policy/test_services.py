"""``septum policy services``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import run

POLICY = """apiVersion: septum/v1
kind: SegmentPolicy
defaults: {action: deny, mode: enforce}
hosts: {a: {ip: 10.0.0.1}, b: {ip: 10.0.0.2}}
segments: {a: {members: [{host: a}]}, b: {members: [{host: b}]}}
services: {https: [tcp/8443], shop: [tcp/9]}
intents: [{name: x, from: a, to: b, services: [https, ssh, shop]}]
"""


def listed(capsys: pytest.CaptureFixture[str], *paths: str) -> dict[str, tuple[list[str], str]]:
    assert run(["policy", "services", *paths, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {row["name"]: (row["services"], row["defined"]) for row in rows}


def test_built_in_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys)["https"] == (["tcp/443"], "built in")


def test_a_policys_definition_takes_their_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(POLICY)
    found = listed(capsys, str(path))
    assert found["https"] == (["tcp/8443"], "policy")
    assert found["shop"] == (["tcp/9"], "policy")
    for service, answer in (("https", 0), ("tcp/8443", 0), ("ssh", 0), ("tcp/22", 0)):
        assert (
            run(["policy", "trace", str(path), "--from", "a", "--to", "b", "--service", service])
            == answer
        )
        assert "allow by x" in capsys.readouterr().out
    run(["policy", "trace", str(path), "--from", "a", "--to", "b", "--service", "tcp/443"])
    assert "deny" in capsys.readouterr().out
