"""Memory under churn: hosts, links, connections and decisions come and go for an hour of
simulated time, a hundred thousand of each, in the controller's core and in the analysis.

Each runs in a process of its own and is measured after a tenth and at the end. Every host has a MAC
of its own and one of 4,096 addresses, as a DHCP server gives them out again: what the detector
remembers of an address that is gone has a bound of its own, in hosts and days.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

from msgspec.structs import replace

from analysis.pipeline import Analysis
from benchmarks.runner import Benchmark, Figure, Target
from detection.alert import Scored
from detection.detector import Detector
from policies.model import Adapt, Defaults, Envelope, Mode, Policy, Segment, Selector
from policies.rules.layout import Reason
from response.audit.log import Audit
from response.ipc.messages import Ask, Enforce, HostsChanged, RecordsSeen, Release, RulesConfirmed
from response.state.store import Store
from tests.support.controller_rig import HOLD, Rig, arp, tcp
from tests.support.discovery import cable
from tests.support.street import make_alert
from topology.records import Binding, FlowRecord

EACH = 100_000
HOUR = 3_600.0
START = 1_000_000.0
MOST = 3_000  # seconds for either process
FIN = 1
POOL = 4_096  # addresses


def identity(number: int) -> tuple[str, str]:
    """MAC and address of a host."""
    return (
        f"02:00:{number.to_bytes(4, 'big').hex(':')}",
        f"10.64.{number % POOL >> 8}.{number & 255}",
    )


def resident() -> int:
    """Bytes of this process in memory, what can be collected apart."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def growth_of(cycle: Callable[[int], None], most: int) -> tuple[int, int]:
    """Memory after a tenth of the cycles and after all."""
    first = 0
    for number in range(most):
        cycle(number)
        if number + 1 == most // 10:
            first = resident()
    return first, resident()


def core_churn(most: int) -> tuple[int, int]:
    """A host is found and forgotten, a cable plugged in and out, a connection opened and closed,
    a decision made and taken back, each time with other addresses."""
    rig = Rig()
    for number in (1, 2):
        rig.connect(number)
    rig.now = START

    def cycle(number: int) -> None:
        rig.now += HOUR / EACH
        mac, address = identity(number)
        rig.packet(1, Reason.GUARD, arp(mac, address, "10.0.0.2"), 3)
        rig.carry_out(rig.core.forget_host(mac, "bench", rig.now))
        cable(rig, (1, 3), (2, 3))
        rig.carry_out(rig.core.port_changed(1, 3, None, False, rig.now))
        rig.carry_out(rig.core.port_changed(1, 3, bytes(6), True, rig.now))
        for flags in (2, 16 | FIN):
            frame = tcp("10.0.0.1", "10.0.0.2", 22, sport=1_024 + number % 60_000, flags=flags)
            rig.packet(1, Reason.CONNECTION, frame, 1, outcome=1)
        decision = replace(HOLD, id=f"d-{number}", number=number + 1, ts=rig.now)
        rig.carry_out(rig.core.decisions.order(Enforce(decision), rig.now))
        rig.carry_out(rig.core.decisions.order(Release(decision, "over"), rig.now))
        if number % 10 == 0:
            rig.advance(0.01)
            rig.carry_out(rig.core.look_around(rig.now))
        rig.effects.clear()
        for switch in rig.switches.values():
            switch.packet_outs.clear()

    return growth_of(cycle, most)


class AlertingDetector(Detector):
    """Alerts on every connection to port 22."""

    def step(self, record: FlowRecord) -> Scored:
        scored = super().step(record)
        if record.dst_port != 22 or record.phase != "start":
            return scored
        return scored._replace(alert=make_alert(record.src_ip, record.ts, (scored.row,)))


POLICY = Policy(
    "churn",
    segments=(Segment("all", (Selector(cidr=ip_network("10.0.0.0/8")),),
                      Mode.ENFORCE, Adapt.AUTO),),
    defaults=Defaults(mode=Mode.ENFORCE),
    envelope=Envelope(("alert", "quarantine"), max_hosts=10, max_share=1.0, ttl=60),
)  # fmt: skip


def analysis_churn(most: int) -> tuple[int, int]:
    """A host appears, connects, is alerted on, decided about and released, and goes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        store = Store.open(Path(place), START)
        analysis = Analysis(POLICY, AlertingDetector(seed=1), store, Audit(store), START)
        analysis.start(START)

        def cycle(number: int) -> None:
            now = START + number * HOUR / EACH
            mac, address = identity(number)
            analysis.step(HostsChanged((Binding(mac, address, 1, 3),)), now)
            record = FlowRecord(now, address, "10.0.0.2", "tcp", 40_000, 22, phase="start")
            commands = analysis.step(RecordsSeen((record,)), now)
            end = replace(record, phase="end", duration=1.0, packets_out=3, packets_in=3)
            analysis.step(RecordsSeen((end,)), now)
            for command in commands:
                if isinstance(command, Enforce):
                    analysis.step(RulesConfirmed(now, command.decision.id, ()), now)
                    analysis.ask(Ask("release", command.decision.id, "bench"), now)
            analysis.tick(now)

        found = growth_of(cycle, most)
        store.close()
    return found


def growth(part: str, most: int = EACH) -> Figure:
    """Memory at the end, relative to that after a tenth."""
    command = [sys.executable, "-m", "benchmarks.security.churn", part, str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST, check=True)
    first, last = json.loads(done.stdout)
    note = f"{first / 1e6:.0f} MB after {most // 10:,} of each, {last / 1e6:.0f} after {most:,}"
    return Figure(100.0 * (last - first) / first, note)


BENCHMARKS = (
    Benchmark("security.churn_core", Target("<=", 10.0, "% more memory"), lambda: growth("core")),
    Benchmark(
        "security.churn_analysis",
        Target("<=", 10.0, "% more memory"),
        lambda: growth("analysis"),
    ),
)

if __name__ == "__main__":
    parts = {"core": core_churn, "analysis": analysis_churn}
    print(json.dumps(parts[sys.argv[1]](int(sys.argv[2]))))
