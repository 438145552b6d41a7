"""A large policy, always the same for the same numbers: what the measurements compile and prove.

Hosts are dual-stack, grouped by what they run, and spread over leaf and spine switches. Two
thirds of the segments take a group each, so that no two share a host; the others cut across the
groups, by role, by site and by network. Intents mix tiers, actions, single ports and ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from topology.records import Link

LAST_SPINE = 2
FIRST_TRUNK = 20_001  # ports of cables between switches; hosts are on ports from 1
FILE = "policy.yaml"
INVENTORY = "hosts.csv"
LARGEST_POOL = 6  # hosts
ROLES, SITES = 0.6, 0.2  # of the overlapping segments; the others are networks
PORTS = (22, 53, 80, 123, 389, 443, 445, 636, 1433, 1521, 3306, 3389, 5432, 5671, 6379, 8080, 9200)
RANGES = ((1024, 2047), (5060, 5061), (8000, 8191), (9000, 9010), (30000, 32767), (49152, 65535))
OTHERS = ("icmp/echo-request", "icmpv6/echo-request", "sctp/9000-9010", "ip/47", "udp", "tcp")


def generate(
    directory: Path,
    hosts: int = 10_000,
    segments: int = 200,
    intents: int = 2_000,
    switches: int = 8,
    seed: int = 1,
) -> Path:
    """Write the policy and its CSV inventory into a folder that exists; the policy's path.

    A third of the segments overlap others; an intent has two services on average; each switch has
    its share of the hosts, one on a port.
    """
    random = Random(seed)
    crossing = segments // 3
    roles, sites = round(crossing * ROLES), round(crossing * SITES)
    networks = crossing - roles - sites
    groups = segments - crossing
    path = directory / FILE
    rows = _inventory(random, hosts, groups, roles, sites, switches)
    (directory / INVENTORY).write_text("\n".join(rows) + "\n", encoding="utf-8")
    names = [
        *(f"group-{number:03}" for number in range(groups)),
        *(f"role-{number:02}" for number in range(roles)),
        *(f"site-{number:02}" for number in range(sites)),
        *(f"net-{number:02}" for number in range(networks)),
    ]
    lines = [
        "apiVersion: septum/v1",
        "kind: SegmentPolicy",
        f"metadata: {{name: generated, description: {hosts} hosts from seed {seed}}}",
        f"include: [{INVENTORY}]",
        "segments:",
        *(_segment(random, name, groups) for name in names),
        "intents:",
        *(_intent(random, number, names) for number in range(intents)),
        "defaults: {action: deny, mode: enforce}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def links(switches: int = 8) -> tuple[Link, ...]:
    """Leaf and spine: every switch from the third on has a cable to each of the first two."""
    spines = range(1, min(LAST_SPINE, switches - 1) + 1)
    return tuple(
        Link(spine, FIRST_TRUNK + leaf, leaf, FIRST_TRUNK + spine)
        for leaf in range(len(spines) + 1, switches + 1)
        for spine in spines
    )


def _inventory(
    random: Random, hosts: int, groups: int, roles: int, sites: int, switches: int
) -> list[str]:
    """One line a host; a group has a network of its own, addresses in it are given in order."""
    rows = ["name,mac,ip,switch,port,labels"]
    used = [0] * switches
    size = max(1, hosts // groups)
    pool, left = "", 0
    for number in range(hosts):
        group = min(number // size, groups - 1)
        within = number - group * size + 1
        switch = random.randrange(switches)
        used[switch] += 1
        mac = number + 1
        if not left:
            # Pools of neighbours do the same work at the same site.
            left = random.randint(1, LARGEST_POOL)
            pool = f";role=r{random.randrange(roles):02}" if roles else ""
            pool += f";site=s{random.randrange(sites):02}" if sites else ""
        left -= 1
        four = f"10.{group >> 4}.{(group & 15) << 4 | within >> 8}.{within & 255}"
        six = f"fd00:0:0:{group + 1:x}::{within:x}"
        rows.append(
            f"h{number:05},02:00:00:{mac >> 16:02x}:{mac >> 8 & 255:02x}:{mac & 255:02x},"
            f"{four};{six},{switch + 1},{used[switch]},group=g{group:03}{pool}"
        )
    return rows


def _segment(random: Random, name: str, groups: int) -> str:
    kind, _, number = name.partition("-")
    if kind == "net":
        # A few groups side by side, but not their first addresses, in both address families.
        first = int(number) * groups // 16 % groups & ~3
        gap = f"10.{first >> 4}.{(first & 15) << 4}.0/28"
        members = (
            f"{{cidr: 10.{first >> 4}.{(first & 15) << 4}.0/18, except: [{gap}]}}, "
            f'{{cidr: "fd00:0:0:{first + 1:x}::/64"}}'
        )
    else:
        members = f"{{labels: {{{kind}: {kind[0]}{number}}}}}"
    mode = random.choice(("enforce", "enforce", "enforce", "audit", "observe"))
    return f"  {name}: {{members: [{members}], mode: {mode}, adapt: auto}}"


def _intent(random: Random, number: int, names: Sequence[str]) -> str:
    tier = random.choices(("application", "security", "baseline", "emergency"), (90, 5, 4.5, 0.5))[
        0
    ]
    deny = tier == "security" or random.random() < 0.04
    source, target = _end(random, names, number), _end(random, names, number)
    if source == target == "any":
        target = random.choice(names)
    services = {_service(random) for _ in range(random.choices((1, 2, 3), (30, 40, 30))[0])}
    return (
        f"  - {{name: intent-{number:04}, from: {source}, to: {target}, "
        f"services: [{', '.join(sorted(services))}], action: {'deny' if deny else 'allow'}, "
        f"tier: {tier}}}"
    )


def _end(random: Random, names: Sequence[str], number: int) -> str:
    kind = random.random()
    if kind < 0.01:
        return "any"
    if kind < 0.015:
        return "unknown"
    if kind < 0.08:
        return f"[{', '.join(random.sample(names, 2))}]"
    return random.choice(names)


def _service(random: Random) -> str:
    kind = random.random()
    if kind < 0.03:
        return random.choice(OTHERS)
    proto = "tcp" if kind < 0.85 else "udp"
    if kind < 0.1:
        low, high = random.choice(RANGES)
        return f"{proto}/{low}-{high}"
    return f"{proto}/{random.choice(PORTS) if kind < 0.6 else random.randrange(1, 10_000)}"
