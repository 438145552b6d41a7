"""What is known of a network at one moment, as a diagnosis needs it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from console.clients.in_force import InForce
from policies.language import scalars
from policies.language.errors import closest
from policies.model import Host
from policies.review.placement import ConnectedSwitch
from response.decision import Decision
from topology.records import Binding, DroppedSource, FlowRecord

Level = Literal["wrong", "unsure", "fine"]


class UnknownEnd(ValueError):
    """Nobody is called so; the text is a line for people."""


@dataclass(frozen=True, slots=True)
class SwitchState:
    """A connected switch. ``problem`` is why it has not the rules that it should, ``trunks`` are
    its ports to other switches, ``full`` that it can track no more connections."""

    ports: ConnectedSwitch
    phase: str
    problem: str = ""
    trunks: frozenset[int] = frozenset()
    full: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """``switches`` is None where no controller answers, ``unanswered`` then why. ``dropped`` are
    packets that were dropped at their port because of their source, ``proposed`` decisions that
    wait for a person, ``flows`` the newest connections between the two ends in question, oldest
    first."""

    now: float
    held: InForce
    switches: tuple[SwitchState, ...] | None = None
    dropped: tuple[DroppedSource, ...] = ()
    proposed: tuple[Decision, ...] = ()
    flows: tuple[FlowRecord, ...] = ()
    unanswered: str = "no controller runs"
    problem: str = ""  # why the newest hosts are left out of the rules

    def switch(self, number: int) -> SwitchState | None:
        return next((each for each in self.switches or () if each.ports.number == number), None)


@dataclass(frozen=True, slots=True)
class NamedEnd:
    """One end of the question. ``switch`` and ``port`` are the declared ones or, failing that,
    those where it was found; ``addresses`` begin with those that routers forward."""

    word: str
    host: Host | None
    addresses: tuple[str, ...]
    macs: tuple[str, ...]
    switch: int | None
    port: int | None
    found: bool = False  # discovered or declared with all that a rule needs

    @property
    def declared_at(self) -> str:
        """Where the policy has it, as ``file:line: ``; empty for an undeclared one."""
        if self.host is None:
            return ""
        return f"{self.host.source.file}:{self.host.source.line}: "


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``about`` names it in a word, ``advice`` is what to do."""

    level: Level
    about: str
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer: findings in order of what comes first on a packet's way."""

    question: str
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.level == "wrong")

    @property
    def cause(self) -> Finding | None:
        """The first thing that is wrong, which may explain the rest."""
        return self.wrong[0] if self.wrong else None

    @property
    def to_do(self) -> tuple[str, ...]:
        """What to do about all that is wrong or, where nothing is, about what is not known."""
        some = self.wrong or tuple(each for each in self.findings if each.level == "unsure")
        return tuple(dict.fromkeys(each.advice for each in some if each.advice))


def end_of(word: str, held: InForce) -> NamedEnd:
    """Who is meant by a host's name, an address or a MAC. Raises UnknownEnd."""
    hosts = {host.name: host for host in held.policy.hosts}
    if word in hosts:
        own = [each for each in held.bindings if each.host == word]
        return _end(word, hosts[word], own)
    try:
        address = str(ip_address(word))
    except ValueError:
        try:
            mac = scalars.mac(word)
        except ValueError:
            near = closest(word, hosts)
            hint = f"; did you mean {near}?" if near else ""
            raise UnknownEnd(f"{word}: no host of the policy, address or MAC{hint}") from None
        own = [each for each in held.bindings if each.mac == mac]
        host = next((each for each in hosts.values() if each.mac == mac), None)
        return _end(word, host, own, macs=(mac,))
    own = [each for each in held.bindings if each.ip == address]
    host = next((each for each in hosts.values() if address in map(str, each.ips)), None)
    if host is None and own:
        host = hosts.get(own[0].host or "")
        own = [each for each in held.bindings if each.mac == own[0].mac]
    return _end(word, host, own, addresses=(address,))


def _end(
    word: str,
    host: Host | None,
    own: list[Binding],
    addresses: tuple[str, ...] = (),
    macs: tuple[str, ...] = (),
) -> NamedEnd:
    declared = () if host is None else tuple(map(str, host.ips))
    learned = sorted((each.ip for each in own), key=lambda ip: (ip_address(ip).is_link_local, ip))
    known_macs = (*macs, *((host.mac,) if host and host.mac else ()), *(each.mac for each in own))
    place = host if host is not None and host.switch is not None else own[0] if own else None
    return NamedEnd(
        word,
        host,
        tuple(dict.fromkeys((*addresses, *declared, *learned))),
        tuple(dict.fromkeys(known_macs)),
        None if place is None else place.switch,
        None if place is None else place.port,
        bool(own),
    )
