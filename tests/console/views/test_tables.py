"""Tables survive a pipe, and nothing in them is obeyed."""

from __future__ import annotations

import os
import pty
import re
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from console.views.placement_line import placement_line
from console.views.tables import listed, print_table

ROOT = Path(__file__).parents[3]

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


def on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, action: Callable[[], object]
) -> str:
    """What an action prints on a terminal of a width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        action()
        terminal.flush()
        shown = b""
        while select.select([reader], [], [], 0.1)[0]:
            shown += os.read(reader, 65_536)
    os.close(reader)
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", shown.decode())


def test_on_a_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(LONG, "enforce"), ("short", "audit")]
    shown = on_a_terminal(monkeypatch, 40, lambda: print_table(("feed", "mode"), rows))
    assert shown == f"feed  {LONG}\nmode  enforce\n\nfeed  short\nmode  audit\n"


SWITCHES = ("switch", "kind", "state", "rules", "flow-mods", "refused", "trunks", "checked")
SWITCH = ("3", "stateful", "ready", "230", "230", "0", "9", "0 missing, 0 altered, 0 extra, 230 ok")


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
def test_words_of_columns_and_values_stay_whole(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    shown = on_a_terminal(monkeypatch, columns, lambda: print_table(SWITCHES, [SWITCH]))
    words = shown.replace("│", " ").replace("┃", " ").split()
    wanted = [word for text in (*SWITCHES, *SWITCH) for word in text.split()]
    assert [word for word in wanted if word not in words] == []
    assert max(map(len, shown.splitlines())) <= max(columns, 50)


def test_a_list_is_whole_in_a_pipe_and_cut_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(range(9), 5) == (range(9), 0)
    shown = on_a_terminal(monkeypatch, 80, lambda: print(listed(range(9), 5)))
    assert shown == "(range(0, 5), 4)\n"


def test_hosts_of_a_missing_switch_are_all_named_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [f"h{n}" for n in range(1, 8)]
    problem = {"text": f"the policy has {', '.join(hosts)} there", "hosts": hosts}
    assert placement_line(problem) == problem["text"]
    shown = on_a_terminal(monkeypatch, 80, lambda: print(placement_line(problem)))
    assert shown == "the policy has h1, h2, h3, h4 and 3 more there\n"


CUT = re.compile(r"\[:\s*_?(?:[A-Z_]*SHOWN[A-Z_]*|\d+)\]")


def test_no_command_cuts_a_list_by_itself() -> None:
    """`listed` does, which knows a pipe; a short digest or time is no list."""
    allowed = ("moment(", "digest", "utc(", "features[:3]", "[:1].lower()")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "console").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if CUT.search(line) and not any(word in line for word in allowed)
    ]
    assert found == []
