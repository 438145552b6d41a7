"""Threat feeds: a hundred thousand entries read, judged and merged, and how far merged."""

from __future__ import annotations

import json
import random
import time
from ipaddress import IPv4Network, collapse_addresses, ip_network

from benchmarks.runner import Benchmark, Figure, Target, median
from policies.model import Feed, Host, Policy, Segment, Selector
from policies.semantics.membership import Membership
from policies.semantics.prefixes import prefix_of
from response.feeds.admission import FeedGuard, guard_of
from response.feeds.load import Loaded, load

ENTRIES = 100_000
RUNS = 5


def guard() -> FeedGuard:
    """A network of 1,000 hosts in 20 segments, whose hosts no feed may cut off as a whole."""
    hosts = tuple(
        Host(f"h{n}", ips=(ip_network(f"10.{n >> 8}.{n & 255}.1/32").network_address,),
             labels=(("role", f"r{n % 20}"),))
        for n in range(1000)
    )  # fmt: skip
    segments = tuple(Segment(f"s{n}", (Selector(labels=(("role", f"r{n}"),)),)) for n in range(20))
    policy = Policy("bench", hosts=hosts, segments=segments)
    return guard_of(policy, Membership(policy), ("192.0.2.1",))


def networks(seed: int) -> list[IPv4Network]:
    """As block lists are: single addresses, crowds of neighbours, and some networks."""
    draw = random.Random(seed)
    found: list[IPv4Network] = []
    while len(found) < ENTRIES:
        start = draw.randrange(11 << 24, 126 << 24)
        kind = draw.random()
        if kind < 0.5:
            found.append(IPv4Network((start, 32)))
        elif kind < 0.9:
            crowd = draw.randrange(2, 64)
            found += [IPv4Network((start + n, 32)) for n in range(crowd)]
        else:
            length = draw.randrange(16, 31)
            found.append(IPv4Network((start >> 32 - length << 32 - length, length)))
    draw.shuffle(found)
    return found[:ENTRIES]


def loaded(found: list[IPv4Network], judge: FeedGuard) -> Loaded:
    text = "\n".join(map(str, found)).encode()
    return load(text, Feed("bench", "-", "cidr-list", may_list_own=True, max_share=1.0), judge, 0.0)


def load_time() -> Figure:
    judge, times = guard(), []
    for seed in range(RUNS):
        text = "\n".join(map(str, networks(seed))).encode()
        began = time.process_time()
        found = load(
            text, Feed("bench", "-", "cidr-list", may_list_own=True, max_share=1.0), judge, 0.0
        )
        times.append(time.process_time() - began)
        assert found.entries == ENTRIES
    return median(times)


def stix_load_time() -> Figure:
    """The same as a bundle of indicators, each with its validity and confidence."""
    judge, times = guard(), []
    for seed in range(RUNS):
        objects = [
            {"type": "indicator", "spec_version": "2.1", "id": f"indicator--{number}",
             "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
             "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z",
             "confidence": 80, "pattern_type": "stix",
             "pattern": f"[ipv4-addr:value = '{network}']"}
            for number, network in enumerate(networks(seed))
        ]  # fmt: skip
        data = json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}).encode()
        began = time.process_time()
        found = load(
            data,
            Feed("bench", "-", "stix2", may_list_own=True, max_share=1.0),
            judge,
            1_780_000_000.0,
        )
        times.append(time.process_time() - began)
        assert found.entries == found.in_force + found.refused.total == ENTRIES
    return median(times)


def above_the_fewest() -> Figure:
    """Prefixes beyond what the standard library's own merging of the same networks needs."""
    judge = guard()
    found = networks(1)
    ours = loaded(found, judge).prefixes
    kept = [network for network in found if judge.refusal(prefix_of(network)) is None]
    fewest = sum(1 for _ in collapse_addresses(kept))
    return Figure(ours - fewest, f"{ours} for {ENTRIES} entries")


BENCHMARKS = (
    Benchmark("response.feed_load_s", Target("<=", 5.0, "s"), load_time),
    Benchmark("response.feed_load_stix_s", Target("<=", 5.0, "s"), stix_load_time),
    Benchmark("response.feed_prefixes_above_fewest", Target("==", 0), above_the_fewest),
)
