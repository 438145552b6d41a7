"""A recommendation as a policy file."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from policies.model import ICMP, ICMPV6, PORT_PROTOCOLS, Address, Host, Mode, Network, Service
from policies.recommendation.cover import Allow, Group
from policies.recommendation.evidence import OUTSIDE, LeftOut, Port, service_of
from policies.recommendation.recommend import Recommendation

SHOWN = 100  # kinds of edges left out that the file names
_KNOWN = {
    21: "ftp", 22: "ssh", 25: "mail", 53: "dns", 67: "dhcp", 80: "web", 88: "kerberos", 110: "mail",
    123: "time", 137: "netbios", 143: "mail", 161: "snmp", 389: "ldap", 443: "web", 445: "files",
    514: "syslog", 587: "mail", 631: "print", 636: "ldap", 993: "mail", 1433: "mssql",
    1521: "oracle", 1883: "mqtt", 2049: "nfs", 3128: "proxy", 3306: "mysql", 3389: "rdp",
    5353: "mdns", 5432: "postgres", 5672: "amqp", 6379: "redis", 8080: "web", 8443: "web",
    9100: "print", 9092: "kafka", 9200: "search", 27017: "mongodb",
}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_GROUPS = tuple(map(ip_network, ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")))
CLIENTS = "nothing-answers-here"


def policy_text(
    found: Recommendation,
    hosts: Sequence[Host] = (),
    include: str | None = None,
    name: str = "recommended",
    mode: Mode = Mode.AUDIT,
) -> str:
    """YAML that `septum policy check --strict` accepts.

    ``include`` is the inventory's path as the file shall name it; without it,
    the hosts that the policy names are written into it.
    """
    names = _Names(found, hosts)
    allows = [_allow(allow, names) for allow in found.allows]
    closed = sorted(names.sources - names.targets)
    lines = [
        f"# Recommended from {found.connections} connections, of which it admits "
        f"{found.coverage:.2%}.",
        f"# Of the pairs and services that it admits, {found.tightness:.1%} were seen.",
        *_left_out(found.left_out),
        "apiVersion: septum/v1",
        "kind: SegmentPolicy",
        f"metadata: {{name: {_word(name)}, description: recommended from observed traffic}}",
        *([f"include: [{_word(include)}]"] if include else []),
    ]
    if not include:
        used = [host for host in hosts if host.name in names.hosts]
        lines += ["hosts:", *map(_host, used)] if used else []
    lines += ["segments:", *names.segments()] if names.of else []
    if allows:
        lines += ["intents:", *allows]
        if closed:
            lines += _closed(closed)
    lines.append(f"defaults: {{action: deny, mode: {mode.name.lower()}}}")
    return "\n".join(lines) + "\n"


def _closed(names: Sequence[str]) -> list[str]:
    return [
        f"  - {{name: {CLIENTS}, from: any, to: [{', '.join(map(_word, names))}], services: any, "
        "action: deny, tier: baseline, description: these only ask}"
    ]


class _Names:
    """Segment names of the groups that the allows name."""

    def __init__(self, found: Recommendation, hosts: Sequence[Host]) -> None:
        self._places = found.places
        self._inventory = {host.name: host for host in hosts}
        self._labels = {role.members: role.labels for role in found.roles}
        self._serves = {role.members: role.serves for role in found.roles}
        self.of: dict[Group, str] = {}
        self.hosts: set[str] = set()
        self.sources: set[str] = set()
        self.targets: set[str] = set()
        self._taken = {"any", "unknown"}
        self._intents: Counter[str] = Counter()
        for allow in found.allows:
            for group in (*allow.sources, *allow.targets):
                if group not in self.of:
                    self.of[group] = self._unused(self._name(group))
                    self.hosts.update(node for node in group if node in self._inventory)
            self.sources.update(self.of[group] for group in allow.sources)
            self.targets.update(self.of[group] for group in allow.targets)

    def intent(self, wanted: str) -> str:
        """A name for an intent that no other has."""
        self._intents[wanted] += 1
        return wanted if self._intents[wanted] == 1 else f"{wanted}-{self._intents[wanted]}"

    def _name(self, group: Group) -> str:
        if group == (OUTSIDE,):
            return "outside"
        if labels := self._labels.get(group):
            return "-".join(value for _, value in labels)
        if len(group) == 1:
            return f"host-{group[0]}"
        ports = self._serves.get(group, frozenset())
        if not ports:
            return "clients"
        known = sorted({_KNOWN[port] for proto, port in ports if proto in PORT_PROTOCOLS
                        and port in _KNOWN})  # fmt: skip
        if known:
            return "-".join(known[:3])
        return "servers"

    def _unused(self, wanted: str) -> str:
        base = "".join(c if c.isprintable() and c not in ",;" else "-" for c in wanted)[:80].strip()
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name

    def segments(self) -> Iterator[str]:
        for group, name in sorted(self.of.items(), key=lambda item: item[1]):
            yield f"  {_word(name)}: {{members: [{', '.join(self._members(group))}]}}"

    def _members(self, group: Group) -> Iterator[str]:
        if group == (OUTSIDE,):
            yield from _outside([*self._places.networks, *_GROUPS])
            return
        if self._selects_exactly(group):
            pairs = (f"{_word(key)}: {_word(value)}" for key, value in self._labels[group])
            yield f"{{labels: {{{', '.join(pairs)}}}}}"
            return
        addresses: list[Address] = []
        for node in group:
            if node in self._inventory:
                yield f"{{host: {_word(node)}}}"
            else:
                addresses += self._places.addresses[node]
        for network in _collapsed(addresses):
            yield f"{{cidr: {_word(str(network))}}}"

    def _selects_exactly(self, group: Group) -> bool:
        """Whether a role's labels select only hosts with those labels and no others."""
        labels = self._labels.get(group)
        if not labels:
            return False
        wanted = set(labels)
        return all(
            set(host.labels) == wanted
            for host in self._inventory.values()
            if wanted <= set(host.labels)
        )


def _collapsed(addresses: Iterable[Address]) -> list[Network]:
    four = [IPv4Network(a) for a in addresses if a.version == 4]
    six = [IPv6Network(a) for a in addresses if a.version == 6]
    return [*collapse_addresses(four), *collapse_addresses(six)]


def _outside(inside: Iterable[Network]) -> Iterator[str]:
    for version, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
        gaps = sorted({str(network) for network in inside if network.version == version})
        shown = f", except: [{', '.join(map(_word, gaps))}]" if gaps else ""
        yield f"{{cidr: {_word(everything)}{shown}}}"


def _allow(allow: Allow, names: _Names) -> str:
    sources = sorted({names.of[group] for group in allow.sources})
    targets = sorted({names.of[group] for group in allow.targets})
    services = _services(allow.ports)
    intent = names.intent(f"{_first(sources)} to {_first(targets)}")
    seen = f"{allow.connections} connections; {allow.seen} of {allow.allowed} pairs × services seen"
    return (
        f"  - {{name: {_word(intent)}, from: {_list(sources)}, to: {_list(targets)}, "
        f"services: [{', '.join(services)}], action: allow, "
        f"description: {_word(seen)}}}"
    )


def _first(names: Sequence[str]) -> str:
    return names[0][:30] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _list(words: Sequence[str]) -> str:
    return _word(words[0]) if len(words) == 1 else f"[{', '.join(map(_word, words))}]"


def _services(ports: Sequence[Port]) -> list[str]:
    """Literals; ports are joined to ranges only where every one of them was seen."""
    joined: list[Service] = []
    for port in sorted(ports):
        service = service_of(port)
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.proto == service.proto
            and service.proto in PORT_PROTOCOLS
            and last.high is not None
            and service.low == last.high + 1
        ):
            joined[-1] = Service(last.proto, last.low, service.high)
        else:
            joined.append(service)
    return [_service_word(service) for service in joined]


def _service_word(service: Service) -> str:
    if service.proto in (ICMP, ICMPV6):
        if (service.proto, service.low) in ((ICMP, 8), (ICMPV6, 128)):
            return f"{'icmp' if service.proto == ICMP else 'icmpv6'}/echo-request"
    return str(service)


def _host(host: Host) -> str:
    parts = []
    if host.mac:
        parts.append(f"mac: {_word(host.mac)}")
    if host.ips:
        parts.append(f"ip: [{', '.join(_word(str(ip)) for ip in host.ips)}]")
    if host.switch is not None:
        parts.append(f"switch: {host.switch}, port: {host.port}")
    if host.vlan is not None:
        parts.append(f"vlan: {host.vlan}")
    if host.labels:
        pairs = ", ".join(f"{_word(key)}: {_word(value)}" for key, value in host.labels)
        parts.append(f"labels: {{{pairs}}}")
    if host.routes:
        parts.append(f"routes: [{', '.join(_word(str(route)) for route in host.routes)}]")
    if host.routed:
        parts.append("routed: true")
    return f"  {_word(host.name)}: {{{', '.join(parts)}}}"


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class LeftOutEdges:
    """Edges left out for one reason that one client is the cause of."""

    reason: str
    client: str
    services: tuple[str, ...]
    targets: tuple[str, ...]
    connections: int

    def __str__(self) -> str:
        what = f"{_some(self.services)} of {_some(self.targets)}"
        times = "once" if self.connections == 1 else f"{self.connections} times"
        return f"{self.client}: {what}, {times}: {self.reason}"


def _some(words: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(words) - shown} more" if len(words) > shown else ""
    return ", ".join(words[:shown]) + more


def kinds(left_out: Iterable[LeftOut]) -> list[LeftOutEdges]:
    """What was left out by reason and client, most connections first."""
    grouped: dict[tuple[str, str], list[LeftOut]] = defaultdict(list)
    for each in left_out:
        grouped[each.reason, each.edge.client or "outside"].append(each)
    found = []
    for (reason, client), group in grouped.items():
        services: Counter[str] = Counter()
        targets: Counter[str] = Counter()
        for each in group:
            services[str(service_of(each.edge.port))] += each.edge.connections
            targets[each.edge.server or "outside"] += each.edge.connections
        found.append(
            LeftOutEdges(reason, client, _ranked(services), _ranked(targets), services.total())
        )
    return sorted(found, key=lambda kind: (-kind.connections, kind.reason, kind.client))


def _ranked(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))


def _left_out(left_out: Sequence[LeftOut]) -> Iterator[str]:
    if not left_out:
        return
    rows = kinds(left_out)
    yield "# Left out, for a person to decide:"
    for row in rows[:SHOWN]:
        yield "#   " + "".join(c if c.isprintable() else "?" for c in str(row))
    if len(rows) > SHOWN:
        yield f"#   and {len(rows) - SHOWN} more"
