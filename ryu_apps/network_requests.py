"""What people ask of the network: hand a switch back, take it again, forget a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from analysis.clock.steady import steady_time
from response.asker import Asker
from ryu_apps.core import Core
from ryu_apps.effects import Effect
from ryu_apps.enforcement.release import PATIENCE
from ryu_apps.runtime import hub

PAUSE = 0.01
LONGEST_NAME = 128  # characters

CarryOut = Callable[[Iterable[Effect]], None]


def network_request(
    core: Core, carry_out: CarryOut, request: dict[str, Any], asker: Asker
) -> dict[str, Any]:
    """Answer ``release`` (a ``switch``, ``normal``), ``take`` (a ``switch``) or ``forget`` (a
    ``host``)."""
    by, now = _who(asker), steady_time()
    try:
        if request["do"] == "forget":
            carry_out(core.forget_host(_host(str(request["host"])), by, now))
            return {"ok": True}
        switch = int(request["switch"])
        if request["do"] == "take":
            carry_out(core.releases.take(switch, by, now))
            return {"ok": True, "connected": switch in core.sessions}
        normal = bool(request.get("normal"))
        carry_out(core.releases.release(switch, by, now, normal=normal))
    except ValueError as error:
        return {"ok": False, "error": str(error)}
    removal = core.releases.pending[switch]
    while not removal.outcome and steady_time() - now < PATIENCE:
        hub.sleep(PAUSE)
    if removal.refused or not removal.outcome:
        late = f"switch {switch} has not answered yet; it will not be driven any more"
        return {"ok": False, "error": removal.outcome or late}
    return {"ok": True, "outcome": removal.outcome}


def _who(asker: Asker) -> str:
    """The name that was given, and what the kernel knows of who gave it."""
    if asker.peer is None:
        return asker.name
    login = "" if asker.peer.login_uid is None else f", login {asker.peer.login_uid}"
    return f"{asker.name} (user id {asker.peer.uid}{login})"


def _host(text: str) -> str:
    """A MAC, address or name as bindings have it. Raises ValueError."""
    if not 0 < len(text) <= LONGEST_NAME or not text.isprintable():
        raise ValueError(f"a host is a MAC, an address or a name of {LONGEST_NAME} characters")
    try:
        return str(ip_address(text))
    except ValueError:
        mac = text.replace("-", ":")
        return mac.lower() if mac.count(":") == 5 else text
