"""The one place that knows which OpenFlow library runs: Ryu with eventlet.

Ryu 4.34's own ``ryu-manager`` does not start with a current eventlet: it
imports ``ryu.app.wsgi``, which wants ``eventlet.wsgi.ALREADY_HANDLED``. So this
module provides that name first, and starts Ryu's applications itself.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.wsgi

    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
    from ryu import cfg
    from ryu.base import app_manager
    from ryu.controller import controller as _controller
    from ryu.controller import ofp_event
    from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib import hub
    from ryu.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser

__all__ = [
    "DEAD_DISPATCHER",
    "MAIN_DISPATCHER",
    "app_manager",
    "hub",
    "listen_and_run",
    "ofp_event",
    "ofproto_v1_3",
    "set_ev_cls",
    "tap_messages",
]

STOP_CHECK = 0.1  # seconds
READ_BLOCK = 16_384  # bytes: some hundred packet copies, two milliseconds' work
Tap = Callable[[Any, int, int, bytes], bool]


def patch_standard_library() -> None:
    """Make sockets and sleeps cooperative. Call once, before other modules take them."""
    hub.patch()


class ReadAhead:
    """A connection's socket that is read a block at a time.

    Ryu reads each message's header and body with calls of their own, which costs more than
    reading the message's meaning. After each block others get their turn.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._block = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        if self._at == len(self._block):
            hub.sleep(0)
            self._block, self._at = self._socket.recv(READ_BLOCK), 0
        found = self._block[self._at : self._at + size]
        self._at += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


_usual_connection = _controller.datapath_connection_factory


def _connection(socket: Any, address: Any) -> None:
    _usual_connection(ReadAhead(socket), address)


_controller.datapath_connection_factory = _connection


def tap_messages(tap: Tap) -> None:
    """Hand every OpenFlow 1.3 message to ``tap(datapath, type, xid, bytes)`` first.

    What the tap takes (returns True for) is not parsed into message objects at
    all: packet copies, ended rules and rule listings are read straight from
    their bytes. Anything else goes Ryu's usual way.
    """
    usual = ofproto_v1_3_parser.msg_parser

    def parse(
        datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: bytearray
    ) -> Any:
        if tap(datapath, msg_type, xid, bytes(buf)):
            return None
        return usual(datapath, version, msg_type, msg_len, xid, buf)

    ofproto_parser.register_msg_parser(ofproto_v1_3.OFP_VERSION)(parse)


def listen_and_run(
    app: type, host: str, port: int, stopping: Callable[[], bool], **settings: Any
) -> None:
    """Run one application with Ryu's OpenFlow listener on ``host:port`` until ``stopping()``.

    The application's ``shut_down()`` is called at the end.
    """
    logging.getLogger("ryu").setLevel(logging.WARNING)
    cfg.CONF(
        args=["--ofp-listen-host", host, "--ofp-tcp-listen-port", str(port)],
        project="septum",
        default_config_files=[],
    )
    running = app_manager.AppManager.get_instance()
    running.load_apps(["ryu.controller.ofp_handler"])
    running.instantiate_apps()
    ours = running.instantiate(app, **settings)
    ours.start()
    try:
        while not stopping():
            hub.sleep(STOP_CHECK)
    finally:
        ours.shut_down()
