"""Write docs/commands.md from the help texts of the real commands (`make docs`)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from typer import Context
from typer.core import TyperCommand

from console.cli import Command, command_tree

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

Exit codes: 0 fine; 1 the answer is no (policy invalid, test failed, drift found, not contained);
2 usage or input error, with one line on standard error.

This page is made from the commands' own help by `make docs`; do not edit it by hand.
"""


def walk(command: Command, context: Context) -> Iterator[tuple[Context, Command]]:
    """Every command below ``command`` that does something itself, in the order of the help."""
    if isinstance(command, TyperCommand):
        yield context, command
        return
    if command.invoke_without_command:
        yield context, command
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if isinstance(child, Command) and not child.hidden:
            yield from walk(child, Context(child, info_name=name, parent=context))


def commands() -> Iterator[tuple[Context, Command]]:
    tree = command_tree()
    return walk(tree, Context(tree, info_name="septum"))


def section(context: Context, command: Command) -> str:
    """One command: how to call it, what it does, its options."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", f"```text\n{usage}\n```", _help_text(command.help or "")]
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and record[0] != "--help"
    ]
    if records:
        rows = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in records]
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(part for part in parts if part)


def _help_text(text: str) -> str:
    """Paragraphs as they are; indented ones, and examples on one line, as code blocks."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        body = paragraph.removeprefix("\b\n")
        code = body.startswith("    ") or (body.startswith("Example") and "septum " in body)
        paragraphs.append(f"```text\n{inspect.cleandoc(body)}\n```" if code else body)
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    return "\n\n".join([INTRODUCTION.rstrip(), *(section(c, k) for c, k in commands())]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
