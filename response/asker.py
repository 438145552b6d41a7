"""Who asks: the name that a person gives, and what the kernel knows of the process that asks.

A name is a claim: anybody who may open the sockets of a state directory can give any. The user
ids come from the kernel, so the audit keeps both.
"""

from __future__ import annotations

from msgspec import Struct

MAX_NAME = 128  # characters
MAX_TEXT = 4_096  # of a reason or note


class Peer(Struct, frozen=True):
    """``uid`` of the process on the other end of a local socket; ``login_uid`` is who logged in
    first, also behind sudo, or None where nobody did (a service) or it cannot be read."""

    uid: int
    login_uid: int | None = None

    def facts(self) -> dict[str, int | None]:
        """As the audit records them, beside the name in ``by``."""
        return {"uid": self.uid, "login_uid": self.login_uid}


class Asker(Struct, frozen=True):
    """``name`` as it was given; ``peer`` None where no socket was used: the controller itself."""

    name: str
    peer: Peer | None = None


def check_claim(name: str, *texts: str) -> None:
    """Raise ValueError for a name, or a text that comes with it, which no record should hold."""
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(
            f"the name of who asks has 1 to {MAX_NAME} printable characters, not {ascii(name)[:80]}"
        )
    for text in texts:
        if len(text) > MAX_TEXT or not text.isprintable():
            raise ValueError(
                f"a reason or note has up to {MAX_TEXT} printable characters, in one line"
            )
