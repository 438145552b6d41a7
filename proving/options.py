"""How the prover's process is started, and how long people wait for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

MODULE = "proving.process"
"""What ``python -m`` runs."""

PATIENCE = 60.0
"""Seconds that a person who applies a policy waits for its proof."""


def arguments(state: Path, descriptor: int) -> tuple[str, ...]:
    """The command line: the state directory, and the inherited socket to the controller."""
    return ("--state", str(state), "--socket-fd", str(descriptor))


def read_options(given: Sequence[str] | None = None) -> tuple[Path, int]:
    """What `arguments` wrote. Exits with a message where it is anything else."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--socket-fd", type=int, required=True)
    options = parser.parse_args(given)
    return options.state, options.socket_fd
