from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from topology.initiator import EPHEMERAL, PRIVILEGED, looks_like_reply, may_be_reply

PORTS = st.sampled_from((0, 1, 22, PRIVILEGED - 1, PRIVILEGED, 8080, EPHEMERAL - 1, EPHEMERAL))


def test_servers_have_the_lower_ports() -> None:
    assert looks_like_reply(443, 51_000)
    assert looks_like_reply(8080, 51_000)
    assert not looks_like_reply(51_000, 443)
    assert not looks_like_reply(8080, 9090), "neither port tells"
    assert not looks_like_reply(123, 123)
    assert not looks_like_reply(0, 51_000), "recorded without a port"


@given(PORTS, PORTS)
def test_not_both_ways_look_like_a_reply_and_what_does_may_be_one(one: int, other: int) -> None:
    assert not (looks_like_reply(one, other) and looks_like_reply(other, one))
    if looks_like_reply(one, other):
        assert may_be_reply(one, other)
