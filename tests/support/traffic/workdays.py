"""Working days of an office with its servers, as records: a simulator, and nothing more than that.

It knows the routines that make detection hard: administrators' rounds, a nightly backup and a
nightly configuration run that visit every server within minutes, monitoring every five minutes,
software pushed to workstations, updates shared between them, a server that is down for a while,
laptops that come back under another address, stale shares, people who type a wrong name. All
of it is drawn from one seed. What it does not have: a scanner that the site itself runs (which is
a sweep, and should be declared), voice, and the long tail of oddities of a real network, so
false-alarm figures from here are a lower bound.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from topology.records import FlowRecord, State

MONDAY = 1_699_833_600.0  # midnight
HOUR, DAY = 3600.0, 86_400.0
PUSHES = 1 / 3  # share of days on which software is pushed to workstations over SMB
OUTSIDE = tuple(f"93.184.{i}.{j}" for i in range(100, 104) for j in range(1, 60))  # routable


@dataclass(frozen=True, slots=True)
class GeneratedSite:
    """Addresses by task. ``size`` counts all hosts."""

    staff: tuple[str, ...]
    developers: tuple[str, ...]
    admins: tuple[str, ...]
    printers: tuple[str, ...]
    directory: tuple[str, ...]
    files: tuple[str, ...]
    web: tuple[str, ...]
    app: tuple[str, ...]
    db: tuple[str, ...]
    mail: str
    printing: str
    updates: str
    backup: str
    monitor: str
    deploy: str
    git: str

    @property
    def workstations(self) -> tuple[str, ...]:
        return (*self.staff, *self.developers, *self.admins)

    @property
    def servers(self) -> tuple[str, ...]:
        single = (self.mail, self.printing, self.updates, self.backup, self.monitor, self.deploy)
        many = (*self.directory, *self.files, *self.web, *self.app, *self.db)
        return (*many, *single, self.git)

    @property
    def hosts(self) -> tuple[str, ...]:
        return (*self.workstations, *self.servers, *self.printers)

    @property
    def size(self) -> int:
        return len(self.hosts)


def inside(host: str) -> bool:
    """Whether an address is one of a generated site's own."""
    return host.startswith("10.20.")


def site(workstations: int = 120) -> GeneratedSite:
    """A site whose servers, printers and administrators grow with its workstations."""
    desk = iter(f"10.20.{1 + i // 200}.{10 + i % 200}" for i in range(workstations))
    rack = iter(f"10.20.100.{i}" for i in range(10, 250))
    hall = iter(f"10.20.110.{i}" for i in range(10, 250))

    def some(source: Iterator[str], share: float, least: int) -> tuple[str, ...]:
        return tuple(next(source) for _ in range(max(least, round(share * workstations))))

    admins, developers = some(desk, 0.03, 3), some(desk, 0.08, 6)
    return GeneratedSite(
        admins=admins,
        developers=developers,
        staff=tuple(desk),
        printers=some(hall, 0.05, 4),
        directory=some(rack, 0.005, 2),
        files=some(rack, 0.01, 2),
        web=some(rack, 0.015, 2),
        app=some(rack, 0.02, 3),
        db=some(rack, 0.015, 2),
        mail=next(rack),
        printing=next(rack),
        updates=next(rack),
        backup=next(rack),
        monitor=next(rack),
        deploy=next(rack),
        git=next(rack),
    )


@dataclass(slots=True)
class _Writer:
    """Collects records; every kind of routine below draws from ``rng`` and writes here."""

    site: GeneratedSite
    rng: random.Random
    records: list[FlowRecord] = field(default_factory=list)
    down: dict[str, tuple[float, float]] = field(default_factory=dict)

    def talk(
        self,
        ts: float,
        src: str,
        dst: str,
        port: int,
        size: float = 4_000.0,
        proto: str = "tcp",
        state: State = "established",
    ) -> None:
        """One connection; to a server that is down it stays unanswered."""
        begun, ended = self.down.get(dst, (0.0, 0.0))
        if begun <= ts < ended:
            state = "unanswered"
        carried = int(self.rng.lognormvariate(0.0, 0.8) * size) + 200
        if state != "established":
            carried = 120
        icmp = proto == "icmp"
        self.records.append(
            FlowRecord(
                ts=ts,
                src_ip=src,
                dst_ip=dst,
                proto=proto,
                src_port=8 if icmp else self.rng.randrange(49_152, 65_535),
                dst_port=port,
                duration=0.2 + carried / 1e6,
                packets=2 + carried // 800,
                bytes=carried,
                state=state,
            )
        )

    def times(self, begin: float, end: float, mean: float) -> Iterator[float]:
        """A Poisson process with ``mean`` seconds between events."""
        ts = begin + self.rng.expovariate(1 / mean)
        while ts < end:
            yield ts
            ts += self.rng.expovariate(1 / mean)


def workdays(seed: int, days: int = 3, where: GeneratedSite | None = None) -> list[FlowRecord]:
    """Records of ``days`` days from a Monday's midnight, in time order."""
    here = where or site()
    out = _Writer(here, random.Random(seed))
    habits = {host: _Desk.draw(here, host, out.rng) for host in here.workstations}
    for day in range(days):
        midnight = MONDAY + day * DAY
        _breakdowns(out, midnight)
        for host, desk in habits.items():
            _workstation(out, host, desk, midnight)
        for routine in (_servers, _monitoring, _backup, _deployments, _administrators, _updates):
            routine(out, midnight)
        _mishaps(out, midnight)
    out.records.sort(key=lambda record: record.ts)
    return out.records


@dataclass(frozen=True, slots=True)
class _Desk:
    """What one person's workstation uses as a rule."""

    shares: tuple[str, ...]
    sites: tuple[str, ...]
    printers: tuple[str, ...]
    peers: tuple[str, ...]
    pace: float
    never_off: bool

    @staticmethod
    def draw(here: GeneratedSite, host: str, rng: random.Random) -> _Desk:
        peers = rng.sample(here.staff, 2) if rng.random() < 0.1 else []
        return _Desk(
            shares=tuple(rng.sample(here.files, min(len(here.files), rng.choice((1, 1, 2))))),
            sites=tuple(rng.sample(here.web, min(len(here.web), 2))),
            printers=tuple(rng.sample(here.printers, 2)),
            peers=tuple(peer for peer in peers if peer != host),
            pace=rng.lognormvariate(0.0, 0.4),
            never_off=rng.random() < 0.1,
        )


def _workstation(out: _Writer, host: str, desk: _Desk, midnight: float) -> None:
    rng, here = out.rng, out.site
    if rng.random() < 0.05:
        return  # ill, or away
    address = host
    if host in here.staff and rng.random() < 0.02:
        address = f"10.20.90.{rng.randrange(10, 250)}"  # a laptop in a meeting room, all day
    come = midnight + rng.gauss(8.6, 0.6) * HOUR
    go = midnight + rng.gauss(17.2, 0.8) * HOUR
    controller = rng.choice(here.directory)
    for port in (88, 389, 445):
        out.talk(come + rng.uniform(0, 20), address, controller, port)
    if desk.never_off:
        for ts in out.times(midnight, midnight + DAY, 1800.0):
            out.talk(ts, address, here.directory[0], 53, 200.0, "udp")
    mean = 150.0 / desk.pace
    for ts in out.times(come, go, mean):
        out.talk(ts, address, controller, 53, 200.0, "udp")
        pick = rng.random()
        if pick < 0.40:
            out.talk(ts + 0.02, address, rng.choice(OUTSIDE), 443, 60_000.0)
        elif pick < 0.60:
            out.talk(ts + 0.02, address, rng.choice(desk.sites), 443, 30_000.0)
        elif pick < 0.75:
            out.talk(ts + 0.02, address, here.mail, 993, 20_000.0)
        elif pick < 0.93:
            out.talk(ts + 0.02, address, rng.choice(desk.shares), 445, 200_000.0)
        elif pick < 0.96:
            out.talk(ts + 0.02, address, here.printing, 631, 100_000.0)
        elif pick < 0.975:
            out.talk(ts + 0.02, address, rng.choice(desk.printers), 9100, 100_000.0)
        elif pick < 0.985 and desk.peers:
            out.talk(ts + 0.02, address, rng.choice(desk.peers), 445, 50_000.0)
        elif pick < 0.99:
            out.talk(ts + 0.02, address, rng.choice(here.files), 445, 50_000.0)
        else:
            out.talk(ts + 0.02, address, controller, 88)
    if host in here.developers:
        for ts in out.times(come, go, 1500.0):
            out.talk(ts, address, here.git, 22, 80_000.0)
        for ts in out.times(come, go, 4000.0):
            out.talk(ts, address, rng.choice((*here.app, *here.web)), 22, 40_000.0)


def _servers(out: _Writer, midnight: float) -> None:
    rng, here = out.rng, out.site
    links: Sequence[tuple[Sequence[str], Sequence[str], int, float]] = (
        (here.web, here.app, 8080, 40.0),
        (here.app, here.db, 5432, 40.0),
        (here.app, (here.mail,), 25, 1800.0),
    )
    for clients, services, port, mean in links:
        for client in clients:
            for ts in out.times(midnight, midnight + DAY, mean * 4):
                busy = 8 < (ts - midnight) / HOUR < 18
                if busy or rng.random() < 0.15:
                    out.talk(ts, client, rng.choice(services), port, 8_000.0)
    for server in here.servers:
        for ts in out.times(midnight, midnight + DAY, 900.0):
            out.talk(ts, server, rng.choice(here.directory), 53, 200.0, "udp")
        for ts in out.times(midnight, midnight + DAY, 3600.0):
            out.talk(ts, server, rng.choice(here.directory), 88)
        for ts in out.times(midnight, midnight + DAY, 1200.0):
            out.talk(ts, server, here.monitor, 514, 500.0, "udp")


def _monitoring(out: _Writer, midnight: float) -> None:
    here = out.site
    for i in range(288):
        ts = midnight + i * 300.0
        for n, target in enumerate((*here.servers, *here.printers)):
            if target == here.monitor:
                continue
            at = ts + n * 0.4
            if target in here.printers:
                out.talk(at, here.monitor, target, 161, 300.0, "udp")
            else:
                out.talk(at, here.monitor, target, 0, 100.0, "icmp")
                out.talk(at + 0.1, here.monitor, target, 10_050, 900.0)


def _backup(out: _Writer, midnight: float) -> None:
    rng, here = out.rng, out.site
    ts = midnight + 22.5 * HOUR
    for server in here.servers:
        if server != here.backup:
            out.talk(ts, here.backup, server, 445 if server in here.files else 10_000, 5e7)
            ts += rng.uniform(60.0, 300.0)


def _deployments(out: _Writer, midnight: float) -> None:
    """The configuration run at two, and a few deployments a day, all by ssh from one host."""
    rng, here = out.rng, out.site
    linux = [s for s in here.servers if s not in here.directory and s != here.deploy]
    ts = midnight + 2.0 * HOUR
    for server in linux:
        out.talk(ts, here.deploy, server, 22, 90_000.0)
        ts += rng.uniform(1.0, 6.0)
    for begin in out.times(midnight + 9 * HOUR, midnight + 17 * HOUR, 2.5 * HOUR):
        for i, server in enumerate(rng.choice((here.web, here.app))):
            out.talk(begin + 8.0 * i, here.deploy, server, 22, 2e6)


def _administrators(out: _Writer, midnight: float) -> None:
    """Servers by ssh and remote desktop, help at a workstation, software pushed to a few."""
    rng, here = out.rng, out.site
    windows = (*here.directory, *here.files, here.mail, here.printing, here.updates)
    begin, end = midnight + 8.5 * HOUR, midnight + 17.5 * HOUR
    for admin in here.admins:
        for ts in out.times(begin, end, 2400.0):
            if rng.random() < 0.5:
                out.talk(ts, admin, rng.choice((*here.web, *here.app, *here.db, here.git)), 22)
            else:
                out.talk(ts, admin, rng.choice(windows), rng.choice((3389, 3389, 5985)), 1e5)
        for ts in out.times(begin, end, 2.5 * HOUR):
            out.talk(ts, admin, rng.choice(here.staff), 3389, 1e6)
        if rng.random() < 0.1:  # a round over many servers, after a warning say
            ts = rng.uniform(begin, end)
            for server in rng.sample(linux := [*here.web, *here.app, *here.db], len(linux)):
                out.talk(ts, admin, server, 22, 9_000.0)
                ts += rng.uniform(10.0, 90.0)
    if rng.random() < PUSHES:
        ts = midnight + 12.0 * HOUR
        for host in rng.sample(here.staff, min(len(here.staff), rng.randrange(4, 12))):
            out.talk(ts, here.updates, host, 445, 2e6)
            ts += rng.uniform(20.0, 400.0)


def _updates(out: _Writer, midnight: float) -> None:
    """Workstations fetch updates; on the second day of the week they also share them."""
    rng, here = out.rng, out.site
    shared = int((midnight - MONDAY) / DAY) % 7 == 1
    for host in here.workstations:
        ts = midnight + rng.uniform(9.0, 16.0) * HOUR
        out.talk(ts, host, here.updates, 8530, 3e6)
        if shared:
            for peer in rng.sample(here.staff, rng.randrange(2, 9)):
                if peer != host:
                    ts += rng.uniform(1.0, 60.0)
                    out.talk(ts, host, peer, 7680, 1e6)


def _breakdowns(out: _Writer, midnight: float) -> None:
    """One server a day is down for some minutes of the working day."""
    rng, here = out.rng, out.site
    begun = midnight + rng.uniform(9.0, 16.0) * HOUR
    victim = rng.choice((*here.web, *here.files, here.mail, here.git))
    out.down = {victim: (begun, begun + rng.uniform(120.0, 900.0))}


def _mishaps(out: _Writer, midnight: float) -> None:
    """Shares that are gone, names mistyped, a service that was moved away."""
    rng, here = out.rng, out.site
    stale = rng.sample(here.staff, max(1, len(here.staff) // 40))
    tries: Sequence[tuple[Callable[[], str], int, State]] = (
        (lambda: f"10.20.100.{rng.randrange(150, 250)}", 445, "unanswered"),
        (lambda: rng.choice(here.web), 8443, "rejected"),
        (lambda: rng.choice(here.hosts), rng.choice((80, 443, 22)), "rejected"),
    )
    for host in stale:
        gone = f"10.20.100.{rng.randrange(150, 250)}"
        for ts in out.times(midnight + 9 * HOUR, midnight + 17 * HOUR, 1200.0):
            out.talk(ts, host, gone, 445, state="unanswered")
    for ts in out.times(midnight + 8 * HOUR, midnight + 18 * HOUR, 1800.0):
        target, port, state = rng.choice(tries)
        for _ in range(rng.randrange(1, 4)):
            out.talk(ts, rng.choice(here.workstations), target(), port, state=state)
