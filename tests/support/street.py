"""A small network without switches: hosts in segments, a detector that says what it is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from analysis.pipeline import Analysis
from detection.alert import Alert, Contribution, Hop, Scored
from policies.model import Adapt, Defaults, Envelope, Host, Mode, Policy, Segment, Selector
from response.audit.log import Audit
from response.ipc.messages import Command
from response.state.store import Store
from topology.graph import CommunicationGraph
from topology.records import Binding, FlowRecord


@dataclass
class Segments:
    """Who is in which segment, address by address."""

    members: dict[str, frozenset[str]]
    adapt: dict[str, Adapt]
    protected: frozenset[str] = frozenset()
    modes: dict[str, Mode] = field(default_factory=dict)

    def segments_of(self, address: str) -> frozenset[str]:
        return frozenset(name for name, held in self.members.items() if address in held)

    def adapt_of(self, segments: frozenset[str]) -> Adapt:
        return min((self.adapt[name] for name in segments), default=Adapt.ALERT)

    def mode_of(self, segments: frozenset[str]) -> Mode:
        return max((self.modes.get(name, Mode.ENFORCE) for name in segments), default=Mode.AUDIT)

    def hosts_in(self, segment: str) -> Collection[str]:
        return self.members[segment]

    def protected_addresses(self, envelope: Envelope) -> Collection[str]:
        return self.protected


@dataclass
class ToldDetector:
    """Raises the alerts that it is given, by the record's number."""

    alerts: dict[int, Alert] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    ours: tuple[str, ...] = ()
    rows: int = 0
    graph: CommunicationGraph = field(default_factory=CommunicationGraph)

    def step(self, record: FlowRecord) -> Scored:
        row, self.rows = self.rows, self.rows + 1
        self.graph.observe(record)
        return Scored(row, 0.5, self.alerts.get(row))

    def include(self, networks: Iterable[str]) -> None:
        self.ours = tuple(networks)

    def suspend(self, address: str) -> None:
        self.suspended.add(address)

    def resume(self, address: str) -> None:
        self.suspended.discard(address)

    def snapshot(self) -> bytes:
        return b"rows %d" % self.rows


def make_alert(host: str, ts: float = 1000.0, records: tuple[int, ...] = (), **more: str) -> Alert:
    return Alert(
        id=more.get("id", "a1"),
        ts=ts,
        host=host,
        kind="lateral-path",
        attack="T1021",
        score=0.9995,
        threshold=0.99,
        raw=4.0,
        features=(
            Contribution("new_peers", 14.0, 0.0, 2.0, 3.0),
            Contribution("failures", 0.5, 0.0, 0.25, 1.0),
        ),
        path=(Hop(ts - 2, "10.0.0.9", host, "tcp/22"), Hop(ts, host, "10.0.0.2", "tcp/22")),
        records=records,
        model="ensemble 1",
    )


def _each(addresses: Iterable[str]) -> tuple[Selector, ...]:
    return tuple(Selector(cidr=ip_network(address)) for address in sorted(addresses))


HOSTS = ("web1", "web2", "web3", "web4", "web5", "db1", "gw")


class Street:
    """An analysis over a store in a directory; `reopen` is a restart after a crash."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.envelope: Envelope | None = Envelope(
            actions=("alert", "quarantine"), max_hosts=2, max_share=0.5, ttl=900
        )
        everyone = {
            name: (f"10.0.0.{n}", f"fd00::{n}", f"fe80::200:ff:fe00:{n}")
            for n, name in enumerate(HOSTS, 1)
        }
        self.addresses = everyone
        web = frozenset(a for name in HOSTS[:5] for a in everyone[name])
        self.segments = Segments(
            {"web": web, "db": frozenset(everyone["db1"]), "edge": frozenset(everyone["gw"])},
            {"web": Adapt.AUTO, "db": Adapt.PROPOSE, "edge": Adapt.AUTO},
        )
        self.reopen(1000.0)

    def policy(self) -> Policy:
        hosts = tuple(
            Host(
                name, f"00:00:00:00:00:0{n}", tuple(ip_address(a) for a in self.addresses[name][:2])
            )
            for n, name in enumerate(HOSTS, 1)
        )
        given = self.segments
        segments = tuple(
            Segment(name, _each(held), given.modes.get(name, Mode.ENFORCE), given.adapt[name])
            for name, held in given.members.items()
        )
        envelope = self.envelope
        if envelope is not None:
            envelope = replace(envelope, protected=_each(given.protected))
        return Policy(
            "test", hosts, segments, defaults=Defaults(mode=Mode.AUDIT), envelope=envelope
        )

    def use_policy(self, now: float) -> list[Command]:
        """Put what the segments and the envelope are now in force."""
        return self.analysis.use_policy(self.policy(), now)

    def reopen(self, now: float, adapt: bool = True) -> None:
        self.store = Store.open(self.directory, now)
        self.audit = Audit(self.store)
        self.detector = ToldDetector()
        self.analysis = Analysis(
            self.policy(),
            self.detector,
            self.store,
            self.audit,
            now,
            adapt=adapt,
        )

    def discover(self, *pairs: tuple[str, str]) -> list[Binding]:
        """Bindings of hosts that no policy declares, given as MAC and address."""
        return [Binding(mac, ip, 1, 7) for mac, ip in pairs]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.audit.entries()]
