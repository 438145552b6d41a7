"""Services by their ports."""

from __future__ import annotations

from topology.services import FOOTHOLDS, REMOTE_ADMINISTRATION


def test_every_foothold_is_remote_administration_and_not_the_other_way_round() -> None:
    assert {("tcp", port) for port in FOOTHOLDS} < REMOTE_ADMINISTRATION
    assert ("udp", 623) in REMOTE_ADMINISTRATION and 2375 not in FOOTHOLDS
