"""The OpenFlow library, the only module that imports it: Ryu, or its maintained fork os-ken.

Ryu where it is installed, unless ``SEPTUM_OPENFLOW=os-ken`` says otherwise; both
with eventlet. Ryu 4.34's own ``ryu-manager`` does not start with a current
eventlet: it imports ``ryu.app.wsgi``, which wants
``eventlet.wsgi.ALREADY_HANDLED``. So this module provides that name first, and
`ryu_apps.switch.listener` takes connections itself.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

CHOICE = "SEPTUM_OPENFLOW"
OS_KEN = os.environ.get(CHOICE, "ryu") == "os-ken" or find_spec("ryu") is None
if find_spec("os_ken" if OS_KEN else "ryu") is None:
    raise ImportError(
        "os-ken is not installed: `pip install septum[os-ken]`"
        if find_spec("ryu")
        else "no OpenFlow library is installed: `pip install septum[ryu]` or `septum[os-ken]`"
    )
os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet")  # read when os-ken is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.wsgi
    from eventlet import tpool

    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
    if OS_KEN and not TYPE_CHECKING:
        from os_ken import cfg
        from os_ken.base import app_manager
        from os_ken.controller import controller, ofp_event, ofp_handler
        from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
        from os_ken.lib import hub
        from os_ken.ofproto import ofproto_parser, ofproto_v1_3
    else:
        from ryu import cfg
        from ryu.base import app_manager
        from ryu.controller import controller, ofp_event, ofp_handler
        from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
        from ryu.lib import hub
        from ryu.ofproto import ofproto_parser, ofproto_v1_3

__all__ = [
    "DEAD_DISPATCHER",
    "LIBRARY",
    "LIBRARY_LOGGERS",
    "MAIN_DISPATCHER",
    "OS_KEN",
    "Application",
    "controller",
    "hub",
    "in_thread",
    "ofp_event",
    "ofproto_parser",
    "ofproto_v1_3",
    "run_application",
    "set_ev_cls",
]

Application = app_manager.OSKenApp if OS_KEN else app_manager.RyuApp
LIBRARY = "os-ken" if OS_KEN else "ryu"
LIBRARY_LOGGERS = ("ryu", "os_ken")
STOP_CHECK = 0.1  # seconds
ECHO_EVERY, ECHOES_UNANSWERED = 5.0, 2  # seconds; a silent switch is gone after three of them


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begin ``work`` in a thread of the system's, beside which the loop goes on, and return what
    waits for its result, or raises what it raised. Only for work that touches nothing of others."""
    return eventlet.spawn(tpool.execute, work).wait  # type: ignore[no-any-return]


def patch_standard_library() -> None:
    """Make sockets and sleeps cooperative. Call once, before other modules take them."""
    eventlet.monkey_patch()  # os-ken's own patch leaves sockets out


class Handshakes(ofp_handler.OFPHandler):  # type: ignore[misc]
    """The library's own OpenFlow handshake, without its listener."""

    def start(self) -> None:
        Application.start(self)


def run_application(
    app: type, listen: Callable[[Any], None], stopping: Callable[[], bool], **settings: Any
) -> None:
    """Run one application until ``stopping()``; ``listen`` receives it and must not block.

    The application's ``shut_down()`` is called at the end.
    """
    for name in LIBRARY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    cfg.CONF(args=[], project="septum", default_config_files=[])
    cfg.CONF.set_override("echo_request_interval", ECHO_EVERY)
    cfg.CONF.set_override("maximum_unreplied_echo_requests", ECHOES_UNANSWERED)
    running = app_manager.AppManager.get_instance()
    running.instantiate(Handshakes).start()
    ours = running.instantiate(app, **settings)
    ours.start()
    listen(ours)
    try:
        while not stopping():
            hub.sleep(STOP_CHECK)
    finally:
        ours.shut_down()
