"""Make the recording that ships with Septum again: the demo's day, longer, with nobody stepping in.

``record_day.py [--minutes N] [--seed N] [FILE]`` plays the scenario of ``septum demo --no-adapt``
on real switches (root, Open vSwitch running) and writes the connections that the controller
stored as contract CSV. ``label`` and ``attack`` are for those who measure; readers ignore them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from mininet_tests.lab.plan import LabError
from mininet_tests.scenario.commands import terminable
from mininet_tests.scenario.demo import Options, lab_plan, play
from mininet_tests.scenario.scenario import SCENARIOS, Attack, Scenario, read_scenario
from response.state.store import Store
from topology.records import FlowRecord

RECORDING = SCENARIOS.parent / "recordings" / "demo-day.csv.gz"
COLUMNS = FlowRecord.__struct_fields__
LOGIN = 1_000  # bytes of an answer by ssh from which on somebody got in


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=RECORDING)
    parser.add_argument("--minutes", type=float, default=4.0, help="of benign traffic first")
    parser.add_argument("--seed", type=int, default=1, help="draws the benign day")
    asked = parser.parse_args()
    scenario = replace(read_scenario(SCENARIOS / "demo.yaml"), before=60.0 * asked.minutes)
    with terminable(), tempfile.TemporaryDirectory(prefix="septum-record-") as folder:
        state = Path(folder) / "state"
        try:
            result = play(scenario, Options(asked.seed, adapt=False, state=state), _tell)
        except LabError as problem:
            print(f"record_day: {problem}", file=sys.stderr)
            return 2
        began = result.seen.first_sent if result.seen is not None else None
        if began is None:
            print("record_day: no hostile packet was seen; nothing written", file=sys.stderr)
            return 1
        store = Store.open(state, time.time(), create=False)
        records = [as_recorded(flow.record) for _, flow in store.flows(limit=10**7)]
        store.close()
    records.sort(key=lambda record: record.ts)
    labels = Labels(scenario, began)
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    asked.file.write_bytes(gzip.compress(as_csv(records, labels).encode(), mtime=0))
    hostile = sum(bool(labels.of(record)) for record in records)
    print(f"{asked.file}: {len(records)} connections, {hostile} of them of the attack")
    return 0


_told = ""


def _tell(text: str) -> None:
    """Each phase once, not every count in it."""
    global _told
    phase = text.partition(":")[0]
    if phase != _told:
        print(phase, file=sys.stderr, flush=True)
    _told = phase


def as_recorded(record: FlowRecord) -> FlowRecord:
    """A stored connection as one that is complete in itself.

    The first packet each way is not counted, so a question and its answer of one packet
    each leave zeros: then nothing is known about an answer.
    """
    state = record.state
    if record.proto == "udp" and record.packets_out == record.packets_in == 0:
        state = None
    return msgspec.structs.replace(record, phase="whole", state=state)


class Labels:
    """What the attacker did, told by the scenario: nobody else does any of it."""

    def __init__(self, scenario: Scenario, began: float) -> None:
        assert scenario.attack is not None
        self._attack: Attack = scenario.attack
        self._began = began - 0.5
        addresses = {host.name: set(host.ips) for host in lab_plan(scenario).hosts}
        self._from = addresses[self._attack.host]
        self._hops = set().union(*(addresses[name] for name in self._attack.hop_to))
        self._onward = set().union(*(addresses[name] for name in self._attack.onward_to))

    def of(self, record: FlowRecord) -> str:
        """``sweep``, ``hop``, ``onward``, or nothing for a benign connection."""
        attack, port = self._attack, record.dst_port
        if record.ts < self._began:
            return ""
        if record.src_ip in self._hops and record.dst_ip in self._onward and port == 22:
            return "onward"
        if record.src_ip not in self._from:
            return ""
        if record.proto == "arp":
            return "sweep" if record.dst_ip in attack.unused else ""
        if record.proto != "tcp" or port not in attack.ports:
            return ""
        inside = port == 22 and record.dst_ip in self._hops and (record.bytes_in or 0) > LOGIN
        return "hop" if inside else "sweep"


def as_csv(records: Iterable[FlowRecord], labels: Labels) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow((*COLUMNS, "label", "attack"))
    for record in records:
        attack = labels.of(record)
        values = [
            round(v, 6) if isinstance(v, float) else v for v in msgspec.structs.astuple(record)
        ]
        rows.writerow((*values, int(bool(attack)), attack))
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
