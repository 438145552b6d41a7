"""Reporting of errors to the user: one line, and an exit code."""

from __future__ import annotations

import os

from policies.language.errors import PolicyError

NO = 1  # the answer is no: policy invalid, test failed, drift found, not contained
WRONG_INPUT = 2  # usage or input error

ROOMS = frozenset(
    {
        "topology",
        "policies",
        "detection",
        "response",
        "ryu_apps",
        "console",
        "mininet_tests",
    }
)


class CommandError(Exception):
    """A command failed: ``str(error)`` is one line (what, where, what to do).

    ``code`` is the exit code, `WRONG_INPUT` unless the problem itself is the answer.
    """

    def __init__(self, message: str, code: int = WRONG_INPUT) -> None:
        super().__init__(message)
        self.code = code


def explain(error: Exception) -> tuple[str, ...]:
    """The lines to print for an error that left a command: one, or one per fault of a policy.

    Errors that our own rooms define are written for people and shown as they are, those of the
    operating system with the file they concern. Anything else is a defect of Septum: it is named
    as such, with the way to its traceback.
    """
    if isinstance(error, PolicyError):
        return tuple(str(diagnostic) for diagnostic in error.diagnostics)
    if type(error).__module__.partition(".")[0] in ROOMS:
        what = str(error) or type(error).__name__
    elif isinstance(error, OSError):
        what = _os_error(error)
    else:
        what = f"internal error: {type(error).__name__}: {error} (SEPTUM_DEBUG=1 shows where)"
    return ("septum: " + " ".join(what.split()),)


def exit_code(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.code
    return NO if isinstance(error, PolicyError) else WRONG_INPUT


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(files)}: {reason}" if files else reason
