"""Options of the analysis process: written where it is started, read by the process."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODULE = "analysis.process"
"""What ``python -m`` runs."""


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """``policy``: files and directories; ``adapt``: alerts may become decisions; ``seed``: of
    the learners; ``checkpoint_to``: see `analysis.checkpoints.targets`."""

    state: Path
    policy: tuple[str, ...]
    adapt: bool = True
    seed: int = 0
    checkpoint_to: tuple[str, ...] = ()

    def arguments(self) -> tuple[str, ...]:
        """As `read_options` reads them, without the socket."""
        written = ["--state", str(self.state), "--seed", str(self.seed)]
        for path in self.policy:
            written += ["--policy", path]
        for target in self.checkpoint_to:
            written += ["--checkpoint-to", target]
        return (*written, *(() if self.adapt else ("--no-adapt",)))


def socket_argument(descriptor: int) -> tuple[str, ...]:
    """Name an inherited socket to the controller by its file descriptor."""
    return ("--socket-fd", str(descriptor))


def read_options(
    arguments: Sequence[str] | None = None,
) -> tuple[AnalysisOptions, int | Path]:
    """The options, and the socket to the controller: a file descriptor or a path.

    Exits with a message where an argument is missing or unknown.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description="The analysis, as a process of its own."
    )
    controller = parser.add_mutually_exclusive_group(required=True)
    controller.add_argument("--socket-fd", type=int, help="inherited socket to the controller")
    controller.add_argument("--socket", type=Path, help="path of the controller's socket")
    parser.add_argument("--state", type=Path, required=True, help="state directory")
    parser.add_argument("--policy", action="append", required=True, help="policy file; repeatable")
    parser.add_argument("--no-adapt", action="store_true", help="alerts only, no decisions")
    parser.add_argument("--seed", type=int, default=0, help="seed of the learners")
    parser.add_argument("--checkpoint-to", action="append", default=[], help="repeatable")
    read = parser.parse_args(arguments)
    options = AnalysisOptions(
        read.state, tuple(read.policy), not read.no_adapt, read.seed, tuple(read.checkpoint_to)
    )
    return options, read.socket if read.socket_fd is None else read.socket_fd
