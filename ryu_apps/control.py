"""The controller's own door for people: one JSON line in, one JSON line out, on a local socket.

The socket lies in the state directory and only its owner may open it.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from policies.compiler import CompileError
from policies.errors import render
from policies.reader import read_policy
from policies.render import ovs_text
from ryu_apps.analysis_inline import InlineAnalysis
from ryu_apps.analysis_link import AnalysisLink
from ryu_apps.core import Core
from ryu_apps.effects import Effect
from ryu_apps.local_socket import CONTROLLER_SOCKET, listen_locally
from ryu_apps.runtime import hub

LOG = logging.getLogger("septum.control")
MAX_REQUEST = 64 * 1024
TIMEOUT = 10.0


class Running(Protocol):
    """What people ask about: a controller at work."""

    core: Core
    link: AnalysisLink | InlineAnalysis | None

    def carry_out(self, effects: Iterable[Effect]) -> None: ...


class ControlServer:
    def __init__(self, state: Path, app: Running) -> None:
        self._state = state
        self._app = app

    def serve(self) -> None:
        listener = listen_locally(self._state, CONTROLLER_SOCKET, backlog=8)
        while True:
            connection, _ = listener.accept()
            hub.spawn(self._answer, connection)

    def close(self) -> None:
        (self._state / CONTROLLER_SOCKET).unlink(missing_ok=True)

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(TIMEOUT)
            try:
                request = json.loads(_read_line(connection))
                answer = handle(self._app, request)
            except (OSError, ValueError, KeyError, TypeError) as error:
                answer = {"ok": False, "error": f"not a request: {error}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                LOG.debug("the asker left before the answer")


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < MAX_REQUEST:
        more = connection.recv(4096)
        if not more:
            break
        data += more
    return data


def handle(app: Running, request: dict[str, Any]) -> dict[str, Any]:
    """Answer ``status``, ``rules`` (of one switch) or ``apply`` (a policy)."""
    what = request["do"]
    if what == "status":
        return {"ok": True, **status(app)}
    if what == "rules":
        session = app.core.sessions[int(request["switch"])]
        rules = app.core.desired.rules(app.core.view(session), time.time())
        return {"ok": True, "rules": [ovs_text(rule) for rule in rules]}
    if what == "apply":
        return apply_policy(app, [str(path) for path in request["paths"]])
    return {"ok": False, "error": f"unknown request {what!r}"}


def apply_policy(app: Running, paths: list[str]) -> dict[str, Any]:
    """Check a policy and put it in force; one with an error changes nothing."""
    result = read_policy(paths)
    if result.policy is None:
        return {"ok": False, "errors": [render(each, result.texts) for each in result.diagnostics]}
    try:
        effects = app.core.apply_policy(result.policy, tuple(paths), time.time())
    except CompileError as error:
        return {"ok": False, "errors": [str(error)]}
    app.carry_out(effects)
    return {"ok": True, "policy": result.policy.name}


def status(app: Running) -> dict[str, Any]:
    core: Core = app.core
    desired, watcher = core.desired, core.watcher
    link = app.link
    return {
        "policy": {
            "name": desired.policy.name,
            "files": desired.files,
            "digest": desired.digest,
        },
        "switches": [
            {
                "switch": session.switch,
                "phase": session.phase.value,
                "ports": sorted(session.ports),
                "trunks": sorted(desired.fabric.trunks(session.switch)),
                "rules": len(session.installed),
                "flow_mods": session.counters.flow_mods,
                "bundles": session.counters.bundles,
                "failures": session.counters.failures,
                "difference": session.last_difference,
                "counted_connections": session.losses.counting,
            }
            for _, session in sorted(core.sessions.items())
        ],
        "hosts": [
            {"mac": each.mac, "ip": each.ip, "switch": each.switch, "port": each.port}
            | ({"host": each.host} if each.host else {})
            for each in desired.hosts.bindings()
        ],
        "decisions": sorted(desired.decisions),
        "lost": {
            "records": 0 if link is None else link.outbox.lost_in_all,
            "copies_held_back_by_meters": sum(
                session.losses.total for session in core.sessions.values()
            ),
            "switches_that_count_no_more": sum(
                session.losses.full for session in core.sessions.values()
            ),
            "starts_forgotten": watcher.book.forgotten,
            "stragglers": watcher.book.stragglers,
            "malformed_messages": watcher.lost.malformed,
            "unreadable_frames": watcher.lost.unreadable_frames,
            "forged_lldp": watcher.lost.forged_lldp,
        },
        "analysis": None
        if link is None
        else {"pid": link.pid, "ready": link.ready, "restarts": link.restarts},
    }
