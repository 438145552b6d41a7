"""A few rounds of every parser that reads bytes from outside; `make bench` runs a million."""

from __future__ import annotations

import pytest

from tests.support.fuzzing import Parser, fuzz, parsers

pytestmark = pytest.mark.threat("bounds")
ROUNDS = 300


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: str(parser.name))
def test_damaged_input_is_refused_or_read(parser: Parser) -> None:
    found = fuzz(parser, min(ROUNDS, parser.rounds // 20), seed=1)
    assert found.faults == []
    assert found.rounds > found.refused or parser.name in ("detector", "action learner")


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: str(parser.name))
def test_the_examples_are_valid(parser: Parser) -> None:
    read = parser.make()
    for seed in parser.seeds:
        read(seed)


def test_an_undocumented_error_and_a_hang_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes) -> None:
        if len(data) % 2:
            raise KeyError("odd")

    def hangs(data: bytes) -> None:
        while True:
            pass

    found = fuzz(Parser("p", [b"seed"], lambda: fails, (), 1), 200, seed=1)
    assert found.faults and "KeyError" in found.faults[0]
    monkeypatch.setattr("tests.support.fuzzing.HANG", 0.05)
    assert "Hang" in fuzz(Parser("p", [b"seed"], lambda: hangs, (), 1), 1, seed=1).faults[0]
