"""How many host pairs are left under each action, partial denies included."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from policies.model import (
    Action,
    Defaults,
    Envelope,
    Host,
    Intent,
    Mode,
    Policy,
    Segment,
    Selector,
    Service,
    Tier,
)
from policies.semantics.membership import Membership
from response.decision import ARMS
from response.decisions.exposure import Exposure
from response.decisions.host_addresses import HostDirectory


def reach_of(mode: Mode = Mode.ENFORCE, *more: Intent) -> tuple[Exposure, HostDirectory]:
    def segment(name: str, *hosts: str) -> Segment:
        return Segment(name, tuple(Selector(host=h) for h in hosts), mode)

    names = ("w1", "w2", "d1", "d2", "ops", "dns")
    policy = Policy(
        "p",
        hosts=tuple(Host(n, None, (ip_address(f"10.0.0.{i}"),)) for i, n in enumerate(names, 1)),
        segments=(
            segment("web", "w1", "w2"), segment("db", "d1", "d2"), segment("ops", "ops"),
            segment("dns", "dns"),
        ),
        intents=(
            Intent("a", ("web",), ("db", "dns"), (Service(6, 5432, 5432),)),
            Intent("b", ("ops",), ("any",), (Service(6, 22, 22),), tier=Tier.EMERGENCY),
            *more,
        ),
        defaults=Defaults(mode=mode),
        envelope=Envelope(protected=(Selector(host="dns"),)),
    )  # fmt: skip
    hosts = HostDirectory(policy, ())
    return Exposure(policy, Membership(policy), hosts.all()), hosts


def test_host_pairs_left_under_each_action() -> None:
    reach, hosts = reach_of()
    web, ops = hosts.find("10.0.0.1"), hosts.find("10.0.0.5")
    assert web is not None and ops is not None
    left = {arm: reach.pairs_left(web, arm, 0.0) for arm in ARMS}
    assert left == {"alert": 3, "rate_limit": 3, "isolate": 1, "quarantine": 0}
    assert reach.pairs_left(ops, "quarantine", 0.0) == 5, "break-glass stays"
    assert reach.criticality(web, 0.0) == pytest.approx(1 / 5)
    db = hosts.find("10.0.0.3")
    assert db is not None
    assert reach.criticality(db, 0.0) == pytest.approx(3 / 5)


def test_where_nothing_is_enforced_everybody_reaches_everybody() -> None:
    reach, hosts = reach_of(Mode.AUDIT)
    db = hosts.find("10.0.0.3")
    assert db is not None
    assert reach.pairs_left(db, "alert", 0.0) == 5
    assert reach.pairs_left(db, "quarantine", 0.0) == 0
    assert reach.mode(db) is Mode.AUDIT


def test_a_pair_whose_every_service_is_denied_is_no_pair() -> None:
    """A deny of a higher tier on the service that is allowed takes the pair away; one of another
    service does not."""
    for low, high, left in ((1, 6000, 1), (5000, 5431, 3), (5432, 5432, 1)):
        deny = Intent("c", ("web",), ("db",), (Service(6, low, high),), Action.DENY, Tier.SECURITY)
        reach, hosts = reach_of(Mode.ENFORCE, deny)
        web, db = hosts.find("10.0.0.1"), hosts.find("10.0.0.3")
        assert web is not None and db is not None
        assert reach.pairs_left(web, "alert", 0.0) == left, (low, high)
        assert reach.criticality(db, 0.0) == pytest.approx((3 if left == 3 else 1) / 5)


def test_an_intent_that_has_ended_leaves_no_pair() -> None:
    ends = datetime.fromtimestamp(100.0, UTC)
    reach, hosts = reach_of(
        Mode.ENFORCE, Intent("c", ("db",), ("web",), (Service(6, 80, 80),), expires=ends)
    )
    db = hosts.find("10.0.0.3")
    assert db is not None
    assert [reach.pairs_left(db, "alert", now) for now in (99.0, 101.0)] == [2, 0]


def test_a_host_that_is_protected_itself_is_not_counted_for_itself() -> None:
    reach, hosts = reach_of(
        Mode.ENFORCE, Intent("c", ("dns",), ("dns", "web"), (Service(17, 53, 53),))
    )
    dns = hosts.find("10.0.0.6")
    assert dns is not None
    assert reach.pairs_left(dns, "isolate", 0.0) == 0
