"""The `septum` command: loads only the module of the requested sub-command.

Importing the learners or the wire format takes seconds, so the table below says where each
command lives, and nothing is imported before it is asked for. Commands of other distributions
(and of the lab) come in by the entry point group `septum.commands`: the entry point's name is the
command's, its object a function that adds commands to a Typer app.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

from console.errors import WRONG_INPUT, CommandError, exit_code, explain
from console.terminal import escaped_output
from topology.gc_tuning import collect_rarely

PLUGINS = "septum.commands"

Command = TyperCommand | TyperGroup


class CommandModule(NamedTuple):
    """Where a built-in command lives, and its line in `septum --help`."""

    name: str
    module: str
    summary: str


COMMAND_MODULES = (
    CommandModule("run", "console.commands.run", "Run the controller on a policy."),
    CommandModule(
        "policy", "console.commands.policy.group", "Check, compile, query and apply policies."
    ),
    CommandModule("detect", "console.commands.detect", "Run the learners over recorded flows."),
    CommandModule(
        "replay", "console.commands.replay", "Run the whole pipeline over recorded traffic."
    ),
    CommandModule("flows", "console.commands.flows", "List connections with their verdicts."),
    CommandModule("why", "console.commands.why", "Tell why a host or a connection does not work."),
    CommandModule("collect", "console.commands.collect", "Collect flow exports of routers."),
    CommandModule("decisions", "console.commands.decisions", "Machine decisions."),
    CommandModule("feeds", "console.commands.feeds", "Threat feeds."),
    CommandModule("models", "console.commands.models", "Versions of the learned model."),
    CommandModule("audit", "console.commands.audit", "The hash-chained record."),
    CommandModule("state", "console.commands.state", "The state directory as a whole."),
    CommandModule("switches", "console.commands.switches", "Switches: their rules and counters."),
    CommandModule("hosts", "console.commands.hosts", "Hosts: where they are, how that is known."),
    CommandModule("status", "console.commands.status", "Summary of a running controller."),
    CommandModule(
        "certificates",
        "console.commands.certificates",
        "Make keys and certificates for testing TLS.",
    ),
)


def _commands_of(register: Callable[[typer.Typer], None]) -> dict[str, Command]:
    """What a room's ``register(app)`` adds, by command name."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    register(app)
    return cast(dict[str, Command], get_group(app).commands)


def _load_built_in(built_in: CommandModule) -> Command:
    module = importlib.import_module(built_in.module)
    command = _commands_of(module.register)[built_in.name]
    command.short_help = built_in.summary
    return command


def _load_plugin(plugin: EntryPoint) -> Command:
    commands = _commands_of(plugin.load())
    if plugin.name not in commands:
        raise CommandError(f"{plugin.value} adds no command `{plugin.name}`")
    return commands[plugin.name]


def _keep_lines(command: Command) -> Command:
    """Keep examples as they are written: help text is otherwise re-wrapped."""
    if command.help:
        paragraphs = command.help.replace("\b\n", "").split("\n\n")
        command.help = "\n\n".join(
            f"\b\n{text}" if _is_verbatim(text) else text for text in paragraphs
        )
    for child in getattr(command, "commands", {}).values():
        _keep_lines(child)
    return command


def _is_verbatim(paragraph: str) -> bool:
    return paragraph.lstrip().startswith("Example") or any(
        line.startswith("    ") for line in paragraph.splitlines()
    )


class Septum(TyperGroup):
    """The root command: has the names of all commands and loads one when it is used."""

    def plugins(self) -> dict[str, EntryPoint]:
        built_in = {known.name for known in COMMAND_MODULES}
        return {p.name: p for p in entry_points(group=PLUGINS) if p.name not in built_in}

    def list_commands(self, ctx: Any) -> list[str]:
        return [*(built_in.name for built_in in COMMAND_MODULES), *sorted(self.plugins())]

    def get_command(self, ctx: Any, cmd_name: str) -> Command | None:
        if cmd_name not in self.commands:
            command = self._load(cmd_name)
            if command is None:
                return None
            self.commands[cmd_name] = _keep_lines(command)
        return cast(Command, self.commands[cmd_name])

    def _load(self, name: str) -> Command | None:
        for built_in in COMMAND_MODULES:
            if built_in.name == name:
                return _load_built_in(built_in)
        plugin = self.plugins().get(name)
        if plugin is None:
            return None
        try:
            return _load_plugin(plugin)
        except Exception as error:  # whatever a plugin does, the other commands must work
            raise CommandError(
                f"`septum {name}` comes from {plugin.value}, which cannot be loaded: {error}"
            ) from error

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = get_close_matches(args[0], self.list_commands(ctx))
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"no such command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands, built-in ones from the table so that nothing is imported."""
        rows = [(built_in.name, built_in.summary) for built_in in COMMAND_MODULES]
        for name in sorted(self.plugins()):
            rows.append((name, self._plugin_summary(ctx, name)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _plugin_summary(self, ctx: Any, name: str) -> str:
        try:
            command = self.get_command(ctx, name)
        except CommandError:
            return "(cannot be loaded on this machine)"
        first_sentence = command.get_short_help_str(200) if command else ""
        return first_sentence.partition(";")[0].rstrip(".") + "."


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"septum {version('septum')}")
        raise typer.Exit()


app = typer.Typer(
    name="septum",
    cls=Septum,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def septum(
    show_version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_show_version, help="Print the version."
    ),
) -> None:
    """Micro-segmentation for OpenFlow networks: compile, observe, learn, contain."""


def command_tree() -> Command:
    """The whole command as typer runs it."""
    return cast(Command, typer.main.get_command(app))


def _report(line: str) -> None:
    print(f"septum: {line}", file=sys.stderr)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Problems go to standard error as one line."""
    with escaped_output():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = command_tree().main(args=arguments, prog_name="septum", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return 130
    except typer.Abort:
        _report("given up")
        return 130
    except BrokenPipeError:
        # The reader has gone (`septum flows | head`): say nothing more, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("SEPTUM_DEBUG"):
            traceback.print_exc()
        if isinstance(error, TyperException):
            return _usage_error(error)
        print(*explain(error), sep="\n", file=sys.stderr)
        return exit_code(error)


def _usage_error(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        print(context.get_help())
        return 0 if context.parent is None else WRONG_INPUT
    where = context.command_path if context is not None else "septum"
    text = " ".join(error.format_message().split()).rstrip(".")
    _report(f"{text[:1].lower()}{text[1:]} (see `{where} --help`)")
    return error.exit_code


def main() -> None:
    """The console script."""
    collect_rarely()
    sys.exit(run())


if __name__ == "__main__":
    main()
