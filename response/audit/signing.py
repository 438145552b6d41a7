"""The key that signs the audit's checkpoints, and how a signature is checked.

Ed25519 (RFC 8032): who can check cannot forge, so the public half may be noted elsewhere, and a
copy of the record be checked there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from response.private_state import read_private, write_new

KEY_FILE = "audit.key"
KEY_BYTES = 32
MOST_BYTES = 1024  # of the file, more than any key has


class KeyProblem(Exception):
    """The key cannot be used; the text is one line for users."""


class Signer:
    """Signs with a private key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.public = self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        return self._key.sign(data).hex()


def is_signed(public: str, data: bytes, signature: str) -> bool:
    """Whether the owner of the key (hexadecimal) signed ``data``; False for what is no key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), data)
    except (ValueError, InvalidSignature):
        return False
    return True


def signer_of(state: Path, draw: Callable[[int], bytes] | None = None) -> Signer | None:
    """The signer of a state directory, readable by its owner only; made with the bytes that
    ``draw`` gives where there is none, or None without ``draw``. Raises `KeyProblem`."""
    path = state / KEY_FILE
    try:
        if draw is not None and not path.exists():
            write_new(path, draw(KEY_BYTES).hex().encode() + b"\n")
        return Signer(bytes.fromhex(read_private(path, MOST_BYTES).decode("ascii")))
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise KeyProblem(f"{path}: {problem.strerror}") from None
    except ValueError:
        raise KeyProblem(f"{path}: no key of {KEY_BYTES} bytes in hexadecimal") from None
