"""A policy of two segments, for hosts on two switches that a cable joins."""

from __future__ import annotations

from policies.model import TCP, Defaults, Intent, Mode, Policy, Segment, Selector, Service
from tests.support.random_policies import HOSTS
from topology.fabric import Fabric
from topology.records import Link

FABRIC = Fabric.of([Link(1, 9, 2, 9)])


def shop(*intents: Intent) -> Policy:
    segments = (
        Segment("web", (Selector(labels=(("role", "b"),)),), Mode.ENFORCE),
        Segment("db", (Selector(labels=(("role", "c"),)),), Mode.ENFORCE),
    )
    return Policy("shop", HOSTS, segments, (), intents, Defaults(mode=Mode.ENFORCE))


READ = Intent("read", ("web",), ("db",), (Service(TCP, 22, 22),))
