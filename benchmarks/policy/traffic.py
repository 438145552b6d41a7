"""What simulating and recommending promise: speed, coverage, and no attack recommended."""

from __future__ import annotations

import csv
import gzip
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

from benchmarks.policy.generator import INVENTORY, generate
from benchmarks.runner import Benchmark, Figure, Target, median, recorded
from policies.language.reader import load_policy
from policies.model import Action
from policies.recommendation import policy_text, recommend
from policies.review.recorded_traffic import RecordedConnection, RecordedTraffic, read_traffic
from policies.review.simulate import simulate
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge

RUNS = 5
ROWS = 1_000_000
KINDS = 100_000  # distinct connections of the generated recording, the busiest most often
CAMPUS = "campus-background.csv.gz"
SWEEPS = "nmap-sweeps.csv.gz"
LATERAL = "cicids2017-lateral.csv.gz"
COLUMNS = ("ts", "src_ip", "dst_ip", "proto", "dst_port", "packets", "bytes", "label")
Row = tuple[str, ...]


# Simulation


def _simulate_generated() -> Figure:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy = generate(folder)
        flows = folder / "flows.csv"
        _recording(folder / INVENTORY, flows)
        return _speed(policy, flows)


def _simulate_campus() -> Figure:
    flows = recorded(CAMPUS)
    with tempfile.TemporaryDirectory() as name:
        return _speed(generate(Path(name)), flows)


def _speed(policy_file: Path, flows: Path) -> Figure:
    """Records a second of one core, from opening the file to the last verdict."""
    policy = load_policy([policy_file])
    membership = Membership(policy)
    rates = []
    for _ in range(RUNS):
        judge = Judge(policy, membership)
        start = time.process_time()
        traffic = read_traffic(flows)
        simulate(traffic, judge, 0.0)
        rates.append(traffic.records / (time.process_time() - start))
    kinds = len(traffic.carried) + len(traffic.blocked)
    figure = median(rates)
    return Figure(figure.value, f"{figure.note}; {traffic.records:,} records, {kinds:,} distinct")


def _recording(inventory: Path, path: Path, seed: int = 1) -> None:
    """A million connections between the hosts of an inventory."""
    random = Random(seed)
    with inventory.open(encoding="utf-8") as lines:
        hosts = [line.split(",")[2].split(";")[0] for line in lines][1:]
    ports = (22, 53, 80, 123, 389, 443, 443, 443, 445, 3306, 5432, 8080, 9200)
    kinds = [
        f"{random.choice(hosts)},{random.choice(hosts)},tcp,{{}},{random.choice(ports)}"
        for _ in range(KINDS)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, KINDS + 1)))
    with path.open("w", encoding="utf-8") as out:
        out.write(
            "ts,duration,src_ip,dst_ip,proto,src_port,dst_port,"
            "packets_out,bytes_out,packets_in,bytes_in,state\n"
        )
        for number, kind in enumerate(random.choices(kinds, cum_weights=weights, k=ROWS)):
            ends = kind.format(random.randrange(32_768, 61_000))
            out.write(
                f"{1.7e9 + number / 100:.2f},0.5,{ends},12,{random.randrange(9_999)},"
                f"11,{random.randrange(99_999)},established\n"
            )


# Recommendation


def _cells(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            yield tuple(row[column] for column in COLUMNS)


def _traffic(rows: Iterable[Row]) -> RecordedTraffic:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flows.csv"
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([COLUMNS, *rows])
        return read_traffic(path)


def _admitted(
    rows: list[Row], part: RecordedTraffic, count: Callable[[RecordedConnection], int]
) -> tuple[int, int]:
    """Connections of a part that the policy recommended from all rows allows, of how many."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_text(policy_text(recommend(_traffic(rows))), encoding="utf-8")
        policy = load_policy([path])
    judge = Judge(policy, Membership(policy))
    allowed = total = 0
    for connection, seen in part.carried:
        total += count(seen)
        if judge.verdict(connection, 0.0).action is Action.ALLOW:
            allowed += count(seen)
    return allowed, total


def _connections(seen: RecordedConnection) -> int:
    return seen.connections


def _answered(seen: RecordedConnection) -> int:
    return seen.connections - seen.failed


def _coverage_lateral() -> Figure:
    rows = list(_cells(recorded(LATERAL)))
    benign = _traffic(row for row in rows if row[-1] == "0")
    allowed, total = _admitted(rows, benign, _connections)
    return Figure(allowed / total, f"of {total:,} benign connections, with the attack beside them")


def _attack_lateral() -> Figure:
    rows = list(_cells(recorded(LATERAL)))
    attack = _traffic(row for row in rows if row[-1] == "1")
    allowed, total = _admitted(rows, attack, _connections)
    return Figure(allowed, f"of {total:,} connections of scan, infiltration and botnet")


def _campus_with_sweeps() -> tuple[list[Row], list[Row]]:
    """Campus traffic and, at its end, sweeps by a host of another recording."""
    campus = list(_cells(recorded(CAMPUS)))
    sweeps = [row for row in _cells(recorded(SWEEPS)) if row[-1] == "1"]
    return campus, sweeps


def _coverage_campus() -> Figure:
    """Nothing is labelled there: counted are connections that were answered and name a port."""
    campus, sweeps = _campus_with_sweeps()
    named = _traffic(
        row for row in campus if row[3] not in ("tcp", "udp") or row[4] not in ("", "0")
    )
    allowed, total = _admitted([*campus, *sweeps], named, _answered)
    return Figure(allowed / total, f"of {total:,} answered of {len(campus):,}, scanners among them")


def _attack_campus() -> Figure:
    campus, sweeps = _campus_with_sweeps()
    allowed, total = _admitted([*campus, *sweeps], _traffic(sweeps), _connections)
    return Figure(allowed, f"of {total:,} connections of three sweeps")


SPEED = Target(">=", 200_000, "records/s")
COVERED = Target(">=", 0.99)
BENCHMARKS = (
    Benchmark("policy.simulate", SPEED, _simulate_generated),
    Benchmark("policy.simulate_campus", SPEED, _simulate_campus),
    Benchmark("policy.recommend_coverage.cicids2017", COVERED, _coverage_lateral),
    Benchmark("policy.recommend_coverage.campus", COVERED, _coverage_campus),
    Benchmark(
        "policy.recommend_attack.cicids2017", Target("==", 0, "connections"), _attack_lateral
    ),
    Benchmark("policy.recommend_attack.campus", Target("==", 0, "connections"), _attack_campus),
)
