"""What comes over a cable was let in by another switch: its source is on the other side."""

from __future__ import annotations

import pytest

from policies.compiler import SwitchView
from policies.compiler.common.bindings import declared_bindings
from policies.compiler.compiler import Compiler
from policies.model import ANY, Intent, Service
from policies.rules.conntrack import CT_NEW, CT_TRK
from policies.rules.simulator import Interpreter, Passage
from policies.semantics.membership import Membership
from tests.support.shop import shop
from topology.addresses import mac_number

NOW, TRUNK = 1_000.0, 99
STRANGER = 0x02_00_00_00_99_99


def over_the_trunk(source: int | None) -> Passage:
    """A frame for a host of switch 1 arrives by its trunk: from switch 2's host, or ``source``."""
    policy = shop(Intent("all", (ANY,), (ANY,), (Service(),)))
    bindings = declared_bindings(policy)
    here, there = ([b for b in bindings if b.switch == switch and "." in b.ip] for switch in (1, 2))
    view = SwitchView(1, (*{b.port for b in here}, TRUNK), frozenset({TRUNK}), {2: TRUNK})
    rules = Compiler(policy, Membership(policy, bindings), bindings, NOW).rules(view)
    sender, target = there[0], here[0]
    packet = {
        "in_port": TRUNK,
        "eth_src": mac_number(here[-1].mac) if source == 0 else source or mac_number(sender.mac),
        "eth_dst": mac_number(target.mac),
        "eth_type": 0x800,
        "ip_src": int.from_bytes(bytes(map(int, sender.ip.split("."))), "big"),
        "ip_dst": int.from_bytes(bytes(map(int, target.ip.split("."))), "big"),
        "ip_proto": 17,
        "udp_src": 40_000,
        "udp_dst": 7_000,
    }
    return Interpreter(rules).run(packet, CT_TRK | CT_NEW)


def test_a_frame_of_another_switchs_host_is_passed() -> None:
    assert over_the_trunk(None).outputs


@pytest.mark.threat("link-discovery")
@pytest.mark.xfail(strict=True, reason="whatever a trunk passes on is taken for checked")
@pytest.mark.parametrize("source", [0, STRANGER], ids=["bound on this side", "bound nowhere"])
def test_a_frame_whose_source_is_here_or_nowhere_is_reported(source: int) -> None:
    passage = over_the_trunk(source)
    assert not passage.outputs and passage.copies
