"""Starting the controller: lock the state directory, take the port, run the app."""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import msgspec

from analysis.clock.steady import CLOCK, steady_time
from analysis.options import AnalysisOptions
from policies.compiler import CompileError
from policies.compiler.switches_file import Switches, read_switches
from policies.language.errors import PolicyError
from response.private_state import kept_key, make_state
from response.state.policy_versions import VersionError, Versions, at_start
from response.state.store import Store
from ryu_apps import runtime
from ryu_apps.app import AppSettings, LinkOf, SeptumApp
from ryu_apps.core import Core
from ryu_apps.enforcement.policy_state import check_fits
from ryu_apps.ipc.analysis_inline import InlineAnalysis
from ryu_apps.ipc.analysis_link import AnalysisLink, AnalysisProgram
from ryu_apps.ready_file import ReadyFile
from ryu_apps.switch.admission import Admission
from ryu_apps.switch.listener import TlsFiles

STORE_PATIENCE = 0.05  # seconds: forwarding must not wait for somebody else's write


class LaunchError(Exception):
    """The controller cannot start; the text is one line that names the remedy."""


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """The options of ``septum run``. ``analysis`` is ``process``, ``inline`` or ``none``."""

    policy_paths: tuple[str, ...]
    state: str
    host: str = "127.0.0.1"
    port: int | None = 6653  # None: no connections in the clear
    ssl_port: int | None = None
    tls: TlsFiles | None = None
    analysis: str = "process"
    adapt: bool = True
    seed: int = 0
    ready_file: str | None = None
    expect_switches: int | None = None
    switches: str | None = None
    takeover: bool = False
    verbose: bool = False
    include_roots: tuple[str, ...] = ()
    checkpoint_to: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> LaunchSettings:
        return msgspec.json.decode(text, type=cls)


def launch(
    settings: LaunchSettings,
    application: type[SeptumApp] = SeptumApp,
    analysis: AnalysisProgram | None = None,
) -> None:
    """Run until SIGTERM or SIGINT. Experiments run another ``application``, or another
    ``analysis`` process, whose arguments are filled in.

    Raises LaunchError, StoreError or OSError before anything is changed.
    """
    state = Path(settings.state)
    make_state(state)
    lock = _lock(state)
    CLOCK.follow(state)
    with suppress(OSError):  # a full disk; `ClockWatch` tries again and logs it
        CLOCK.keep(state)
    tls = _tls(settings)
    for port in (settings.port, settings.ssl_port):
        if port is not None:
            _check_port(settings.host, port)
    try:
        version = at_start(
            Versions(state),
            settings.policy_paths,
            getpass.getuser(),
            steady_time(),
            settings.include_roots,
        )
        policy = version.policy()
    except PolicyError as error:
        raise LaunchError("; ".join(str(each) for each in error.diagnostics)) from error
    except VersionError as error:
        raise LaunchError(str(error)) from error
    ready_file = None if settings.ready_file is None else ReadyFile(Path(settings.ready_file))
    logging.basicConfig(
        level=logging.DEBUG if settings.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    stop = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.raise_it)
    admission = Admission(_owner(state), _switches(settings.switches), settings.takeover)
    try:
        check_fits(policy, steady_time())
        core = Core(policy, _secret(state), version.paths, admission, version.number)
    except CompileError as error:
        raise LaunchError(str(error)) from error
    store = Store.open(state, steady_time(), patience=STORE_PATIENCE)
    app_settings = AppSettings(
        state,
        _link_of(settings, analysis),
        ready_file,
        listed_only=tls is not None and bool(admission.settings.own),
        expect_switches=settings.expect_switches,
    )
    try:
        runtime.run_application(
            application,
            partial(_listen, settings, tls),
            stop.is_raised,
            core=core,
            store=store,
            settings=app_settings,
        )
        logging.getLogger("septum").info("stopped; the switches keep their rules")
    finally:
        if ready_file is not None:
            ready_file.remove()
        store.close()
        os.close(lock)


def _tls(settings: LaunchSettings) -> ssl.SSLContext | None:
    """What TLS needs, from the files that were named."""
    if settings.tls is None:
        return None
    try:
        return settings.tls.context()
    except OSError as error:
        files = ", ".join((settings.tls.key, settings.tls.certificate, settings.tls.authority))
        why = getattr(error, "reason", None) or error.strerror or error
        raise LaunchError(f"TLS: {why}; look at {files}") from error


def _listen(settings: LaunchSettings, tls: ssl.SSLContext | None, app: SeptumApp) -> None:
    if settings.port is not None:
        if not _is_loopback(settings.host):
            text = (
                "switches connect in the clear on %s port %d: whoever reaches that address can be "
                "a switch, and read and change what goes to others; use --of-ssl-port"
            )
            logging.getLogger("septum").warning(text, settings.host, settings.port)
        app.listener.open(settings.host, settings.port)
    if settings.ssl_port is not None and tls is not None:
        app.listener.open(settings.host, settings.ssl_port, tls)


def _is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _link_of(settings: LaunchSettings, analysis: AnalysisProgram | None) -> LinkOf | None:
    """How the app reaches the analysis."""
    if settings.analysis == "none":
        return None
    if settings.analysis == "inline":
        from analysis.composition import (
            PolicyFollower,
            compose,
        )  # loads the learners, which takes a moment

        composed = compose(
            Path(settings.state),
            settings.policy_paths,
            settings.adapt,
            settings.seed,
            steady_time(),
            secrets.token_bytes,
        )
        follower = PolicyFollower(Path(settings.state), composed.version)
        return partial(InlineAnalysis, composed, follower, settings.checkpoint_to)
    options = AnalysisOptions(
        Path(settings.state),
        tuple(settings.policy_paths),
        settings.adapt,
        settings.seed,
        settings.checkpoint_to,
    )
    program = replace(analysis or AnalysisProgram(), arguments=options.arguments())
    return partial(AnalysisLink, program)


class StopFlag:
    """Raised by a signal, looked at by the main loop: no exception in the middle of a change."""

    def __init__(self) -> None:
        self._raised = False

    def raise_it(self, _signal: int, _frame: FrameType | None) -> None:
        self._raised = True

    def is_raised(self) -> bool:
        return self._raised


def _lock(state: Path) -> int:
    """One controller per state directory: the lock ends with the process, however it ends."""
    handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise LaunchError(
            f"{state} is in use by another septum run; stop it or choose another --state"
        ) from error
    return handle


def _check_port(host: str, port: int) -> None:
    """Fail now, in one line, rather than in a green thread later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LaunchError(
                f"cannot listen on {host} port {port}: {error.strerror}; "
                "choose another --of-port or stop what uses it"
            ) from error


def _switches(path: str | None) -> Switches:
    """The settings of the switches file."""
    if path is None:
        return Switches()
    try:
        return read_switches(path)
    except PolicyError as error:
        raise LaunchError("; ".join(str(each) for each in error.diagnostics)) from error


def _owner(state: Path) -> int:
    """Our mark on switches, from 1 to 2**48 - 1."""
    return int.from_bytes(kept_key(state / "owner.id", 6, secrets.token_bytes), "big") or 1


def _secret(state: Path) -> bytes:
    """The key of link discovery frames."""
    return kept_key(state / "discovery.key", 32, secrets.token_bytes)
