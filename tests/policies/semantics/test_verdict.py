"""Verdicts, held against the policy language read aloud, intent by intent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.feed_block import FeedBlock
from policies.model import (
    Action,
    Connection,
    Defaults,
    Envelope,
    Host,
    Intent,
    Mode,
    NearestMiss,
    Policy,
    Restriction,
    Segment,
    Selector,
    Service,
    Source,
    Tier,
    Verdict,
)
from policies.semantics.feed_listings import Listings
from policies.semantics.membership import Membership
from policies.semantics.prefix_sets import Span, network_of
from policies.semantics.prefixes import fewest, prefix_of
from policies.semantics.services import covers, samples
from policies.semantics.verdict import Judge, verdict

NOW = 1_800_000_000.0
TIERS = (Tier.EMERGENCY, Tier.SECURITY, Tier.APPLICATION, Tier.BASELINE)
HOSTS = tuple(
    Host(f"h{n}", ips=(IPv4Address(0x0A000000 + n), IPv6Address((0xFD << 120) + n)))
    for n in range(5)
)
ADDRESSES = [ip for host in HOSTS for ip in host.ips]

names = st.sampled_from(["any", "unknown", "s0", "s1", "s2"])
ends = st.lists(names, min_size=1, max_size=2, unique=True).map(tuple)
services = st.one_of(
    st.sampled_from([Service(), Service(6), Service(17), Service(1), Service(58), Service(89)]),
    st.tuples(st.sampled_from([6, 17, 1, 58]), st.integers(0, 9), st.integers(0, 9)).map(
        lambda t: Service(t[0], min(t[1:]), max(t[1:]))
    ),
)
moments = st.sampled_from([None, NOW - 1, NOW, NOW + 1])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    segments = tuple(
        Segment(
            f"s{n}",
            tuple(
                Selector(host=h)
                for h in draw(st.lists(st.sampled_from(["h0", "h1", "h2", "h3"]), max_size=3))
            ),
            draw(st.sampled_from([None, *Mode])),
        )
        for n in range(3)
    )
    intents = tuple(
        Intent(
            name,
            draw(ends),
            draw(ends),
            tuple(draw(st.lists(services, min_size=1, max_size=2))),
            draw(st.sampled_from(Action)),
            draw(st.sampled_from(TIERS)),
            expires=None if at is None else datetime.fromtimestamp(at, UTC),
            source=Source("p", line, 1),
        )
        for line, name in enumerate(draw(st.permutations("edcba"))[: draw(st.integers(0, 5))])
        for at in [draw(moments)]
    )
    protected = tuple(draw(st.lists(st.sampled_from([Selector(host="h3")]), max_size=1)))
    return Policy(
        "p",
        HOSTS,
        segments,
        (),
        intents,
        Defaults(draw(st.sampled_from(Action)), draw(st.sampled_from(Mode))),
        Envelope(protected=protected),
    )


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    src = draw(st.sampled_from(ADDRESSES))
    dst = draw(st.sampled_from([a for a in ADDRESSES if a.version == src.version]))
    return Connection(src, dst, draw(st.sampled_from([6, 17, 1, 58, 89])), draw(st.integers(0, 10)))


restrictions = st.lists(
    st.builds(
        Restriction,
        st.just(1),
        st.sampled_from(["quarantine", "isolate", "rate_limit"]),
        st.lists(st.sampled_from(ADDRESSES), max_size=3).map(tuple),
        st.sampled_from([NOW - 1, NOW, NOW + 1]),
    ),
    max_size=2,
)

networks = st.sampled_from(
    [
        ip_network(f"{each}/{bits}", strict=False)
        for each in ADDRESSES
        for bits in (each.max_prefixlen, 31)
    ]
)
blocks = st.lists(
    st.builds(
        lambda name, mode, listed: FeedBlock(name, mode, fewest(map(prefix_of, listed))),
        st.sampled_from("abc"),
        st.sampled_from(list(Mode)),
        st.lists(networks, max_size=2),
    ),
    max_size=3,
    unique_by=lambda each: each.feed,
)


def read_aloud(
    policy: Policy,
    who: Membership,
    packet: Connection,
    now: float,
    live: list[Restriction],
    feeds: list[FeedBlock],
) -> Verdict:
    """The policy language's section on who decides, sentence by sentence."""
    mine, theirs = who.segments_of(packet.src), who.segments_of(packet.dst)

    def end_matches(wanted: tuple[str, ...], segments: frozenset[str]) -> bool:
        return any(
            name == "any" or (name == "unknown" and not segments) or name in segments
            for name in wanted
        )

    def service_matches(service: Service) -> bool:
        if service.proto == 1 and packet.src.version == 6:
            return False
        if service.proto == 58 and packet.src.version == 4:
            return False
        return service.matches(packet.proto, packet.port)

    def failures(intent: Intent) -> tuple[str, ...]:
        met = {
            "from": end_matches(intent.sources, mine),
            "to": end_matches(intent.targets, theirs),
            "services": any(map(service_matches, intent.services)),
        }
        return tuple(part for part, good in met.items() if not good)

    exists = [i for i in policy.intents if i.expires is None or i.expires.timestamp() > now]
    default = policy.defaults.mode
    modes = {s.name: default if s.mode is None else s.mode for s in policy.segments}

    def mode_of(segments: frozenset[str]) -> Mode:
        return max((modes[s] for s in segments), default=default)

    mode = max(mode_of(mine), mode_of(theirs))
    protected = {
        ip
        for host in policy.hosts
        for selector in (policy.envelope.protected if policy.envelope else ())
        if selector.host == host.name
        for ip in host.ips
    }
    blocked = [
        r.number
        for r in live
        if r.expires > now
        and (
            (r.action == "quarantine" and {packet.src, packet.dst} & set(r.addresses))
            or (r.action == "isolate" and packet.src in r.addresses and packet.dst not in protected)
        )
    ]

    def listed_by(mode: Mode) -> str | None:
        for end in (packet.src, packet.dst):
            for block in sorted(feeds, key=lambda each: each.feed):
                held = (network_of(Span(*prefix)) for prefix in block.prefixes)
                if block.mode is mode and any(end in n for n in held if n.version == end.version):
                    return block.feed
        return None

    denying, recording = listed_by(Mode.ENFORCE), listed_by(Mode.AUDIT)
    decided: tuple[Action, Tier, Intent | None] = (policy.defaults.action, Tier.DEFAULT, None)
    for tier in Tier:
        if tier is Tier.ADAPTIVE and (blocked or denying):
            decided = Action.DENY, tier, None
            break
        matching = [i for i in exists if i.tier is tier and not failures(i)]
        if matching:
            denies = [i for i in matching if i.action is Action.DENY]
            chosen = min(denies or matching, key=lambda i: i.name)
            decided = chosen.action, tier, chosen
            break
    action, tier, intent = decided
    forwarded = action is Action.ALLOW or (mode is not Mode.ENFORCE and tier is not Tier.ADAPTIVE)
    feed = None
    if tier is Tier.ADAPTIVE and not blocked:
        mode, feed = Mode.ENFORCE, denying
    elif recording and action is Action.ALLOW and tier is not Tier.EMERGENCY:
        action, tier, mode, feed = Action.DENY, Tier.ADAPTIVE, Mode.AUDIT, recording
    miss = None
    if action is Action.DENY:
        allows = [i for i in exists if i.action is Action.ALLOW]
        if allows:
            near = min(allows, key=lambda i: (len(failures(i)), i.name))
            miss = NearestMiss(near.name, failures(near))
    return Verdict(
        action,
        forwarded,
        mode,
        tier,
        intent.name if intent else None,
        tuple(sorted(mine)),
        tuple(sorted(theirs)),
        miss,
        intent.source if intent else None,
        1 if blocked and tier is Tier.ADAPTIVE else None,
        feed,
    )


@settings(max_examples=200)
@given(policies(), st.lists(connections(), min_size=1, max_size=10), restrictions, blocks)
def test_the_judge_says_what_the_language_says(
    policy: Policy, packets: list[Connection], live: list[Restriction], feeds: list[FeedBlock]
) -> None:
    who = Membership(policy)
    judge = Judge(policy, who)
    for packet in packets:
        for now in (NOW - 2, NOW):
            expected = read_aloud(policy, who, packet, now, live, feeds)
            assert judge.verdict(packet, now, live, Listings(feeds)) == expected
    assert verdict(policy, who, packets[0], NOW, live) == read_aloud(
        policy, who, packets[0], NOW, live, []
    )


@given(policies(), st.randoms(use_true_random=False), connections())
def test_the_order_in_the_file_never_matters(
    policy: Policy, random: object, packet: Connection
) -> None:
    shuffled = list(policy.intents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = replace(policy, intents=tuple(shuffled))
    assert verdict(policy, Membership(policy), packet, NOW) == verdict(
        other, Membership(other), packet, NOW
    )


@given(policies(), st.sampled_from(["s0", "s1", "s2"]), connections())
def test_enforcing_one_segment_changes_nothing_elsewhere(
    policy: Policy, name: str, packet: Connection
) -> None:
    stricter = replace(
        policy,
        segments=tuple(
            replace(s, mode=Mode.ENFORCE) if s.name == name else s for s in policy.segments
        ),
    )
    before = verdict(policy, Membership(policy), packet, NOW)
    after = verdict(stricter, Membership(stricter), packet, NOW)
    assert after.action is before.action
    if name not in before.from_segments + before.to_segments:
        assert after == before


# The sentences that matter most, as examples


def shop(*intents: Intent, mode: Mode = Mode.ENFORCE, protected: str = "h3") -> Policy:
    return Policy(
        "p",
        HOSTS,
        (Segment("web", (Selector(host="h0"),), mode), Segment("db", (Selector(host="h1"),))),
        (),
        intents,
        Defaults(mode=Mode.OBSERVE),
        Envelope(protected=(Selector(host=protected),)),
    )


def allow(name: str, tier: Tier = Tier.APPLICATION, **more: object) -> Intent:
    base = Intent(name, ("web",), ("db",), (Service(6, 5432, 5432),), tier=tier)
    return replace(base, **more)  # type: ignore[arg-type]


def ask(policy: Policy, src: int, dst: int, port: int = 5432, *live: Restriction) -> Verdict:
    connection = Connection(HOSTS[src].ips[0], HOSTS[dst].ips[0], 6, port)
    return Judge(policy, Membership(policy)).verdict(connection, NOW, live)


def restrict(action: str, host: int, expires: float = NOW + 9) -> Restriction:
    return Restriction(7, action, HOSTS[host].ips, expires)


def test_deny_beats_allow_in_a_tier_and_a_higher_tier_beats_both() -> None:
    deny = allow("z-deny", action=Action.DENY)
    assert ask(shop(allow("a"), deny), 0, 1).intent == "z-deny"
    above = allow("z-above", Tier.SECURITY)
    assert ask(shop(allow("a"), deny, above), 0, 1).intent == "z-above"


def test_an_expired_intent_does_not_exist() -> None:
    gone = allow("gone", expires=datetime.fromtimestamp(NOW, UTC))
    found = ask(shop(gone), 0, 1)
    assert (found.action, found.tier, found.nearest_miss) == (Action.DENY, Tier.DEFAULT, None)


@pytest.mark.parametrize(
    ("mode", "forwarded"), [(Mode.ENFORCE, False), (Mode.AUDIT, True), (Mode.OBSERVE, True)]
)
def test_a_deny_is_forwarded_unless_enforced(mode: Mode, forwarded: bool) -> None:
    found = ask(shop(mode=mode), 0, 1)
    assert (found.action, found.forwarded, found.mode) == (Action.DENY, forwarded, mode)


def test_nearest_miss_counts_failures_then_names() -> None:
    far = allow("a-far", sources=("db",), targets=("web",))
    near = allow("b-near", services=(Service(6, 22, 22),))
    assert ask(shop(far, near), 0, 1).nearest_miss == NearestMiss("b-near", ("services",))
    overruled = shop(far, near, allow("c"), allow("d", Tier.SECURITY, action=Action.DENY))
    assert ask(overruled, 0, 1).nearest_miss == NearestMiss("c", ())
    assert ask(shop(allow("c")), 0, 1).nearest_miss is None


def test_quarantine_cuts_both_ways_whatever_the_mode_but_not_emergency() -> None:
    policy = shop(allow("a"), mode=Mode.OBSERVE)
    for target in (0, 1):
        found = ask(policy, 0, 1, 5432, restrict("quarantine", target))
        assert (found.action, found.forwarded) == (Action.DENY, False)
        assert (found.tier, found.intent) == (Tier.ADAPTIVE, None)
        assert found.nearest_miss == NearestMiss("a", ())
    assert ask(policy, 0, 1, 5432, restrict("quarantine", 0, NOW)).action is Action.ALLOW
    glass = shop(allow("a"), allow("glass", Tier.EMERGENCY))
    assert ask(glass, 0, 1, 5432, restrict("quarantine", 0)).intent == "glass"


def test_an_isolated_host_answers_but_starts_nothing_except_to_the_protected() -> None:
    policy = shop(allow("a"), allow("names", targets=("any",), services=(Service(17, 53, 53),)))
    assert ask(policy, 0, 1, 5432, restrict("isolate", 1)).action is Action.ALLOW
    assert ask(policy, 0, 1, 5432, restrict("isolate", 0)).tier is Tier.ADAPTIVE
    dns = Connection(HOSTS[0].ips[0], HOSTS[3].ips[0], 17, 53)
    judge = Judge(policy, Membership(policy))
    assert judge.verdict(dns, NOW, [restrict("isolate", 0)]).intent == "names"


def test_protected_networks_are_protected_for_an_isolated_host() -> None:
    policy = replace(
        shop(allow("a")), envelope=Envelope(protected=(Selector(cidr=ip_network("10.0.0.1/32")),))
    )
    assert ask(policy, 0, 1, 5432, restrict("isolate", 0)).intent == "a"


def test_rate_limit_never_decides() -> None:
    assert ask(shop(allow("a")), 0, 1, 5432, restrict("rate_limit", 0)).intent == "a"


def test_matching_lists_every_tier() -> None:
    policy = shop(allow("b"), allow("a", Tier.BASELINE), allow("c", targets=("web",)))
    packet = Connection(HOSTS[0].ips[0], HOSTS[1].ips[0], 6, 5432)
    judge = Judge(policy, Membership(policy))
    assert [i.name for i in judge.matching(packet, NOW)] == ["a", "b"]


def test_icmp_is_one_familys_only() -> None:
    policy = shop(allow("a", services=(Service(1), Service(58))))
    judge = Judge(policy, Membership(policy))
    four, six = (HOSTS[0].ips[v] for v in (0, 1))
    for proto, version, expected in ((1, 0, True), (58, 0, False), (1, 1, False), (58, 1, True)):
        packet = Connection((four, six)[version], HOSTS[1].ips[version], proto, 8)
        assert (judge.verdict(packet, NOW).action is Action.ALLOW) == expected


# Sets of services


@given(st.lists(services, max_size=4), services)
def test_cover_is_what_every_packet_says(covering: list[Service], covered: Service) -> None:
    packets = [(p, port) for p in (6, 17, 1, 58, 89, 250) for port in (*range(11), 65_535)]
    wanted = [packet for packet in packets if covered.matches(*packet)]
    every = all(any(s.matches(*packet) for s in covering) for packet in wanted)
    if covers(covering, covered):
        assert every
    elif covered.low is not None:
        assert not every


@given(policies(), services)
def test_samples_stand_for_every_packet(policy: Policy, service: Service) -> None:
    chosen = samples(policy.intents, service)
    assert chosen and all(service.matches(*packet) for packet in chosen)

    def seen(packet: tuple[int, int]) -> frozenset[tuple[str, int]]:
        return frozenset(
            (intent.name, index)
            for intent in policy.intents
            for index, each in enumerate(intent.services)
            if each.matches(*packet)
        )

    views = {seen(packet) for packet in chosen}
    for proto in (6, 17, 1, 58, 89, 250):
        for port in range(11):
            if service.matches(proto, port):
                assert seen((proto, port)) in views


def test_addresses_are_read_as_text_too() -> None:
    policy = shop()
    assert Membership(policy).segments_of(str(ip_address("10.0.0.0"))) == {"web"}
