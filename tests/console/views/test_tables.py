"""Tables survive a pipe, and nothing in them is obeyed."""

from __future__ import annotations

import os
import pty

import pytest

from console.views.tables import print_table

LONG = "commercial-reputation-list-of-the-north-" * 5


def test_in_a_pipe_each_row_is_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("feed", "from"), [(LONG + "a", "x" * 300), (LONG + "b", "y")])
    lines = capsys.readouterr().out.splitlines()
    assert sum(LONG + "a" in line and "x" * 300 in line for line in lines) == 1
    assert sum(LONG + "b" in line for line in lines) == 1


def test_markup_and_control_characters_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("feed",), [("http://x.example/[/x]",), ("[red]a\x1b[31m\nb",)])
    out = capsys.readouterr().out
    assert "http://x.example/[/x]" in out
    assert "[red]a\\x1b[31m\\nb" in out
    assert "\x1b" not in out


def test_on_a_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        print_table(("feed", "mode"), [(LONG, "enforce")])
        terminal.flush()
        shown = os.read(reader, 65_536).decode()
    os.close(reader)
    assert "…" not in shown
    assert "".join(c for c in shown if c in LONG).count("n") >= LONG.count("n")
