"""Reading of a state directory, and formatting of its values."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from analysis.clock.steady import time_in
from response.state.store import Store

DEFAULT_STATE = Path("septum-state")
State = Annotated[Path, typer.Option(help="State directory of the controller.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def opened(state: Path, only_read: bool = False) -> Iterator[Store]:
    """The store of a state directory that exists, whether or not a controller runs on it.

    One that cannot be written, or with ``only_read``, is left exactly as it is.
    """
    if only_read or not os.access(state, os.W_OK):
        store = Store.open_to_read(state)
    else:
        store = Store.open(state, time_in(state), create=False)
    try:
        yield store
    finally:
        store.close()


def moment(ts: float) -> str:
    """A time as people read it, in UTC, to the millisecond."""
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def who_asks() -> str:
    """The person at the terminal, also behind sudo."""
    return os.environ.get("SUDO_USER") or getpass.getuser()
