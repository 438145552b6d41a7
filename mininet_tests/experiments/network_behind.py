"""A network behind a lab host: one more namespace with a cable to it, for routers and uplinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mininet_tests.lab.lab import RunningHost
from mininet_tests.lab.namespace import Finished
from mininet_tests.lab.plan import LabError

CABLE = "behind"


class Behind:
    """A namespace behind ``router``, which forwards; it ends with the lab.

    ``near`` is the router's address on the cable, ``addresses`` are those of the
    far end, all with their prefix length; the far end sends everything to the first
    of ``near`` of each family.
    """

    def __init__(self, router: RunningHost, near: Sequence[str], addresses: Sequence[str]) -> None:
        self._router = router
        process = router.start(["unshare", "--net", "sleep", "600"])
        self.pid = process.pid
        lines = [
            f"until [ $(readlink /proc/{self.pid}/ns/net) != $(readlink /proc/self/ns/net) ]; "
            "do sleep 0.02; done",
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
            f"ip link add {CABLE} type veth peer name eth0 netns {self.pid}",
            f"echo 0 > /proc/sys/net/ipv6/conf/{CABLE}/accept_dad",
            f"ethtool -K {CABLE} tx off > /dev/null",
            *(f"ip addr add {each} dev {CABLE}" for each in near),
            f"ip link set {CABLE} up",
        ]
        far = [
            "ip link set lo up",
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad",
            "ethtool -K eth0 tx off > /dev/null",
            *(f"ip addr add {each} dev eth0" for each in addresses),
            "ip link set eth0 up",
            *(f"ip route add default via {each}" for each in _first(near)),
        ]
        for runner, script in ((router.run, lines), (self.run, far)):
            done = runner(["sh", "-ec", "\n".join(script)], timeout=10)
            if not done.ok:
                raise LabError(f"cannot build what is behind {router.name}: {done.stderr.strip()}")

    def run(self, argv: Sequence[str], timeout: float = 5.0) -> Finished:
        return self._router.processes.run(argv, timeout=timeout, pid=self.pid)

    def start(self, argv: Sequence[str], **options: Any) -> Any:
        return self._router.processes.start(argv, pid=self.pid, **options)


class Tenant:
    """One more host on ``machine``, which has to carry its frames: a namespace with a MAC and
    addresses of its own (with their prefix lengths), behind the interface `link`."""

    def __init__(self, machine: RunningHost, mac: str, addresses: Sequence[str]) -> None:
        self._machine = machine
        process = machine.start(["unshare", "--net", "sleep", "600"])
        self.pid = process.pid
        self.link = f"t{mac[-2:]}"
        lines = [
            f"until [ $(readlink /proc/{self.pid}/ns/net) != $(readlink /proc/self/ns/net) ]; "
            "do sleep 0.02; done",
            f"ip link add {self.link} type veth peer name eth0 address {mac} netns {self.pid}",
            f"echo 1 > /proc/sys/net/ipv6/conf/{self.link}/disable_ipv6",
            f"ip link set {self.link} up",
        ]
        inside = [
            "ip link set lo up",
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad",
            "ethtool -K eth0 tx off > /dev/null",
            *(f"ip addr add {each} dev eth0" for each in addresses),
            "ip link set eth0 up",
        ]
        for runner, script in ((machine.run, lines), (self.run, inside)):
            done = runner(["sh", "-ec", "\n".join(script)], timeout=10)
            if not done.ok:
                raise LabError(f"cannot build a host on {machine.name}: {done.stderr.strip()}")

    def run(self, argv: Sequence[str], timeout: float = 5.0) -> Finished:
        return self._machine.processes.run(argv, timeout=timeout, pid=self.pid)

    def start(self, argv: Sequence[str], **options: Any) -> Any:
        return self._machine.processes.start(argv, pid=self.pid, **options)


def _first(near: Sequence[str]) -> list[str]:
    """The first address of each family, without its prefix length."""
    found = {":" in each: each.partition("/")[0] for each in reversed(near)}
    return list(found.values())
