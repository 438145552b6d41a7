"""A running lab network: Mininet hosts on Open vSwitch bridges, gone when the block ends.

::

    with Lab(plan, controller="tcp:127.0.0.1:6653") as lab:
        lab.host("web1").run(["curl", "-sS", "http://10.0.0.2/"], timeout=5)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mininet_tests.lab.leftovers import (
    Tag,
    bridge_name,
    port_name,
    remove_leftovers,
    remove_tagged,
    run_directory,
)
from mininet_tests.lab.machine import (
    SYSTEM_FOLDERS,
    kernel_datapath,
    require_programs,
    require_root,
    require_vswitch,
    vsctl,
)
from mininet_tests.lab.machine import said as said
from mininet_tests.lab.namespace import Finished, Processes
from mininet_tests.lab.plan import LabError, LabHost, LabPlan

DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"  # where Debian puts Mininet


@dataclass(frozen=True, slots=True)
class RunningHost:
    """A host of a running lab; its only interface is called eth0."""

    plan: LabHost
    pid: int
    directory: Path
    processes: Processes

    @property
    def name(self) -> str:
        return self.plan.name

    def run(self, argv: Sequence[str], timeout: float = 5.0) -> Finished:
        """Run a program on the host, for at most ``timeout`` seconds."""
        return self.processes.run(argv, timeout=timeout, pid=self.pid)

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program on the host (`Processes.start` has the options); it ends with the lab."""
        return self.processes.start(argv, pid=self.pid, **options)


class Lab:
    """Builds ``plan`` on entering and removes every trace of it on leaving.

    ``controller`` is an OpenFlow target such as ``tcp:127.0.0.1:6653``; without
    one the switches forward nothing until somebody writes rules. Raises
    `LabError` where something is missing; needs root.
    """

    def __init__(self, plan: LabPlan, controller: str | None = None) -> None:
        self.plan = plan
        self.controller = controller
        self.processes = Processes()
        self._hosts: dict[str, RunningHost] = {}

    def __enter__(self) -> Lab:
        require_root()
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"
        require_programs(("mnexec", "ip", "ethtool", "setpriv", "ovs-vsctl", "ovs-ofctl"))
        require_vswitch()
        remove_leftovers()
        self._tag = Tag()
        self.directory = run_directory(self._tag.text)
        self.directory.mkdir(mode=0o700)
        try:
            with warnings.catch_warnings():  # Mininet uses distutils
                warnings.simplefilter("ignore", DeprecationWarning)
                self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    @property
    def hosts(self) -> tuple[RunningHost, ...]:
        return tuple(self._hosts.values())

    def host(self, name: str) -> RunningHost:
        self.plan.host(name)
        return self._hosts[name]

    def bridge(self, dpid: int) -> str:
        """The Open vSwitch bridge that carries this datapath id."""
        return bridge_name(self._tag.text, self.plan.switches.index(dpid) + 1)

    def port(self, dpid: int, port: int) -> str:
        """The interface behind a switch port, in the root namespace."""
        return port_name(self._tag.text, self.plan.switches.index(dpid) + 1, port)

    def ofctl(self, dpid: int, command: str, *words: str) -> str:
        """What ``ovs-ofctl -O OpenFlow13 command BRIDGE words…`` prints."""
        argv = ["ovs-ofctl", "-O", "OpenFlow13", command, self.bridge(dpid), *words]
        return said(argv, timeout=10)

    def set_controller(self, target: str | None) -> None:
        """Point every switch at another controller, or at none."""
        words: list[str] = []
        for dpid in self.plan.switches:
            bridge = self.bridge(dpid)
            words += ["--", "del-controller", bridge]
            if target is not None:
                words += ["--", "set-controller", bridge, target]
                words += ["--", "set", "controller", bridge, "max_backoff=1000"]
        vsctl(*words[1:])
        self.controller = target

    def connected(self) -> bool:
        """Whether every switch has its connection to the controller."""
        if self.controller is None:
            return False
        words: list[str] = []
        for dpid in self.plan.switches:
            words += ["--", "get", "controller", self.bridge(dpid), "is_connected"]
        return set(vsctl(*words[1:]).split()) == {"true"}

    def shell(self) -> None:
        """The Mininet prompt, until the user leaves it."""
        cli, log = _mininet("mininet.cli"), _mininet("mininet.log")
        log.setLogLevel("output")
        cli.CLI(self._net)

    def _build(self) -> None:
        net, node, log = map(_mininet, ("mininet.net", "mininet.node", "mininet.log"))
        log.setLogLevel("error")
        # Mininet would raise limits of the whole machine here; a lab must leave it as it was.
        net.Mininet.inited = True
        self._user_datapath = not kernel_datapath()
        self._net = net.Mininet(build=False, controller=None, waitConnected=False)
        switches = {
            dpid: self._net.addSwitch(
                self.bridge(dpid),
                cls=node.OVSSwitch,
                dpid=f"{dpid:016x}",
                failMode="secure",
                protocols="OpenFlow13",
                datapath="user" if self._user_datapath else "kernel",
            )
            for dpid in self.plan.switches
        }
        for host in self.plan.hosts:
            self._add_host(host, switches[host.switch])
        for link in self.plan.links:
            self._net.addLink(
                switches[link.switch],
                switches[link.peer_switch],
                port1=link.port,
                port2=link.peer_port,
                intfName1=self.port(link.switch, link.port),
                intfName2=self.port(link.peer_switch, link.peer_port),
                params1={"up": False},
                params2={"up": False},
            )
        self._quieten_switch_ports()
        for host in self.plan.hosts:
            self._configure_host(host)
        for switch in switches.values():
            switch.start([])
        if self.controller is not None:
            self.set_controller(self.controller)

    def _add_host(self, host: LabHost, switch: Any) -> None:
        node = self._net.addHost(host.name)
        directory = self.directory / host.name
        directory.mkdir()
        self._net.addLink(
            switch,
            node,
            port1=host.port,
            intfName1=self.port(host.switch, host.port),
            intfName2="eth0",
            addr2=host.mac,
            params1={"up": False},
            params2={"up": False},
        )
        self._hosts[host.name] = RunningHost(host, node.pid, directory, self.processes)

    def _quieten_switch_ports(self) -> None:
        """Bring the switch ends up as bare wires: the machine's own IPv6 must not talk on them."""
        names = [self.port(host.switch, host.port) for host in self.plan.hosts]
        for link in self.plan.links:
            names += [
                self.port(link.switch, link.port),
                self.port(link.peer_switch, link.peer_port),
            ]
        for name in names:
            switch = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
            if switch.exists():
                switch.write_text("1")
        lines = "".join(f"link set {name} up\n" for name in names)
        done = subprocess.run(
            ["ip", "-batch", "-"],
            input=lines,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        if done.returncode:
            raise LabError(f"cannot bring the lab's interfaces up: {done.stderr.strip()}")

    def _configure_host(self, host: LabHost) -> None:
        done = self._hosts[host.name].run(["sh", "-ec", self._host_script(host)], timeout=10)
        if not done.ok:
            raise LabError(f"cannot configure host {host.name}: {done.stderr.strip()}")

    def _host_script(self, host: LabHost) -> str:
        six = "/proc/sys/net/ipv6/conf"
        lines = ["ip link set lo up"]
        if host.ipv6 is None:
            lines.append(f"[ ! -d {six} ] || echo 1 > {six}/all/disable_ipv6")
        else:
            # Both announcements of a joined group leave at once, before the host is on a bridge.
            for version in (1, 2):
                lines.append(f"echo 1 > {six}/eth0/mldv{version}_unsolicited_report_interval")
            for key in (
                "accept_ra",
                "autoconf",
                "router_solicitations",
                "accept_dad",
                "dad_transmits",
            ):
                lines.append(f"echo 0 > {six}/eth0/{key}")
        if self._user_datapath:
            lines.append("ethtool -K eth0 tx off > /dev/null")
        for ip in host.ips:
            length = self.plan.prefix6 if ":" in ip else self.plan.prefix4
            lines.append(f"ip addr add {ip}/{length} dev eth0" + (" nodad" if ":" in ip else ""))
        lines.append("ip link set eth0 up")
        return "\n".join(lines)

    def _remove(self) -> None:
        """Take everything down; a second Ctrl-C does not leave half of it standing."""
        with uninterrupted():
            self.processes.close()
            for node in getattr(getattr(self, "_net", None), "hosts", ()):
                with contextlib.suppress(Exception):
                    node.terminate()
            bridges = [self.bridge(dpid) for dpid in self.plan.switches]
            ports = [path.name for path in Path("/sys/class/net").iterdir()]
            try:
                remove_tagged(self._tag.text, bridges, ports)
            finally:
                for node in getattr(getattr(self, "_net", None), "switches", ()):
                    with contextlib.suppress(Exception):
                        node.terminate()
                self._hosts.clear()
                self._tag.release()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and TERM back while the block runs (main thread only; elsewhere no effect)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _mininet(module: str) -> Any:
    """One of Mininet's modules, from Debian's own package directory."""
    added = DEBIAN_PACKAGES not in sys.path
    if added:
        sys.path.append(DEBIAN_PACKAGES)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LabError(
            "Mininet is not installed: `make setup` installs Debian's mininet"
        ) from error
    finally:
        if added:
            sys.path.remove(DEBIAN_PACKAGES)
