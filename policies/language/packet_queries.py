"""From names to connections: who ``web1`` is, and which packets ``tcp/80-90`` stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from policies.language import scalars
from policies.language.assigned_services import ASSIGNED
from policies.language.errors import closest
from policies.model import (
    ICMP,
    ICMPV6,
    ONLY_IN,
    PORT_PROTOCOLS,
    Address,
    Connection,
    Policy,
    PolicyTest,
    Service,
    Verdict,
)
from policies.semantics.services import samples
from policies.semantics.verdict import Judge
from topology.records import Binding

_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}


class QueryError(Exception):
    """A query names something that the policy does not have; the text says what to write."""


class PacketQueries:
    """Look up the hosts and services that queries about one policy name."""

    def __init__(self, policy: Policy, bindings: Iterable[Binding] = ()) -> None:
        """With ``bindings``, a host also has the addresses that it was discovered with."""
        found: dict[str | None, set[Address]] = {}
        for binding in bindings:
            found.setdefault(binding.host, set()).add(ip_address(binding.ip))
        self._hosts: Mapping[str, tuple[Address, ...]] = {
            host.name: (*host.ips, *_routable_first(found.get(host.name, set()) - {*host.ips}))
            for host in policy.hosts
        }
        self._services = dict(policy.services)
        self._intents = policy.intents

    def addresses(self, word: str) -> tuple[Address, ...]:
        """A host's declared addresses, or the one address that is written out."""
        if word in self._hosts:
            if not self._hosts[word]:
                raise QueryError(f"host '{word}' has no address in the policy; give an address")
            return self._hosts[word]
        try:
            return (scalars.address(word),)
        except ValueError:
            near = closest(word, self._hosts)
            hint = f"; did you mean '{near}'?" if near else ""
            raise QueryError(f"'{word}' is no host of the policy and no address{hint}") from None

    def services(self, word: str) -> tuple[Service, ...]:
        if word in self._services:
            return self._services[word]
        if word in ASSIGNED:
            return ASSIGNED[word]
        if not scalars.is_literal(word):
            near = scalars.service_meant(word) or closest(word, (*self._services, *ASSIGNED))
            hint = f"; did you mean '{near}'?" if near else ""
            raise QueryError(f"no service is called '{word}'{hint}")
        try:
            return (scalars.service(word),)
        except ValueError as problem:
            raise QueryError(str(problem)) from None

    def packet(self, origin: str, target: str, service: str) -> Connection:
        """The connection that a trace is about: IPv4 where both ends have it.

        Raises QueryError for a service of many ports, and where the two ends
        share no address family.
        """
        services = self.services(service)
        if len(services) > 1:
            raise QueryError(
                f"service '{service}' is several: name one of {', '.join(map(str, services))}"
            )
        one = services[0]
        if one.proto is None or (one.low is None and one.proto in PORT_PROTOCOLS):
            raise QueryError(f"'{service}' has many ports; a trace needs one, like tcp/22")
        if one.low != one.high:
            raise QueryError(f"'{service}' has many ports; name one from {one.low} on")
        port = _ECHO_REQUEST.get(one.proto, 0) if one.low is None else one.low
        for src, dst in self._pairs(origin, target, one.proto):
            return Connection(src, dst, one.proto, port)
        raise QueryError(f"'{origin}' and '{target}' have no address family in common for {one}")

    def packets(self, origin: str, target: str, service: Service) -> list[Connection]:
        """Connections that stand for all there are of a service between two ends."""
        found = []
        for proto, port in samples(self._intents, service):
            pairs = self._pairs(origin, target, proto)
            found += [Connection(src, dst, proto, port) for src, dst in pairs]
        return found

    def _pairs(self, origin: str, target: str, proto: int) -> list[tuple[Address, Address]]:
        family = ONLY_IN.get(proto)
        pairs = [
            (src, dst)
            for src in self.addresses(origin)
            for dst in self.addresses(target)
            if src.version == dst.version and family in (None, src.version)
        ]
        return sorted(pairs, key=lambda pair: pair[0].version)


def _routable_first(addresses: Iterable[Address]) -> tuple[Address, ...]:
    return tuple(sorted(addresses, key=lambda each: (each.is_link_local, each.version, int(each))))


@dataclass(frozen=True, slots=True)
class PolicyTestResult:
    """Result of a policy test: ``wrong`` are the connections with another verdict."""

    test: PolicyTest
    tried: int
    wrong: tuple[tuple[Connection, Verdict], ...]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        return not self.wrong and self.problem is None


def run_tests(policy: Policy, judge: Judge, now: float) -> tuple[PolicyTestResult, ...]:
    """Run the policy's own ``tests:``; each must hold for all addresses and ports it names."""
    queries = PacketQueries(policy)
    outcomes = [_run(test, queries, judge, now) for test in policy.tests]
    # A named service may hold both ICMPs where the two ends share one family only.
    tried = {outcome.test.source for outcome in outcomes if outcome.tried}
    return tuple(o for o in outcomes if o.tried or o.test.source not in tried)


def _run(test: PolicyTest, queries: PacketQueries, judge: Judge, now: float) -> PolicyTestResult:
    try:
        connections: Sequence[Connection] = queries.packets(test.origin, test.target, test.service)
    except QueryError as problem:
        return PolicyTestResult(test, 0, (), str(problem))
    if not connections:
        apart = f"'{test.origin}' and '{test.target}' have no address family in common"
        return PolicyTestResult(test, 0, (), f"{apart} for {test.service}")
    judged = [(connection, judge.verdict(connection, now)) for connection in connections]
    wrong = tuple((c, verdict) for c, verdict in judged if verdict.action is not test.expect)
    return PolicyTestResult(test, len(connections), wrong)


def verdict_data(verdict: Verdict) -> dict[str, object]:
    """A verdict under the names that logs, the API and ``--json`` carry; ``decision`` is the
    machine decision's number."""
    miss = verdict.nearest_miss
    source = verdict.source
    return {
        "action": verdict.action.value,
        "forwarded": verdict.forwarded,
        "mode": verdict.mode.name.lower(),
        "tier": verdict.tier.value,
        "intent": verdict.intent,
        "decision": verdict.decision,
        "feed": verdict.feed,
        "from_segments": list(verdict.from_segments),
        "to_segments": list(verdict.to_segments),
        "nearest_miss": None
        if miss is None
        else {"intent": miss.intent, "failed": list(miss.failed)},
        "source": None if source is None else f"{source.file}:{source.line}",
    }
