"""Every cause that a person would look for, found and named first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec import structs

from console.clients.in_force import InForce
from console.diagnosis.diagnose import NOT_KNOWN, ConnectionQuestion, diagnose
from console.diagnosis.situation import Diagnosis, Situation, SwitchState, UnknownEnd, end_of
from console.views.diagnosis_text import diagnosis_data, diagnosis_lines
from policies.compiler import declared_bindings
from policies.feed_block import FeedBlock
from policies.language.packet_queries import QueryError
from policies.language.reader import read_policy
from policies.model import Mode
from policies.review.placement import ConnectedSwitch
from policies.semantics.prefix_sets import number_of
from tests.support.state_in_force import C3_LEASE, OFFICE, quarantine
from topology.records import DroppedSource, FlowRecord

NOW = 10_000.0
C1, C2, WEB = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:04"
ONE = SwitchState(ConnectedSwitch(1, frozenset({1, 2, 3})), "ready")
TWO = SwitchState(ConnectedSwitch(2, frozenset({1, 2, 9})), "ready", trunks=frozenset({9}))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> InForce:
    path = tmp_path_factory.mktemp("policy") / "office.yaml"
    path.write_text(OFFICE)
    policy = read_policy([str(path)]).policy
    assert policy is not None
    return InForce(policy, 3, (*declared_bindings(policy), C3_LEASE))


def why(
    held: InForce, host: str, to: str | None = None, service: str | None = None, **known: Any
) -> Diagnosis:
    question = ConnectionQuestion(
        end_of(host, held), None if to is None else end_of(to, held), service
    )
    return diagnose(question, Situation(NOW, held, **{"switches": (ONE, TWO), **known}))


def cause(found: Diagnosis) -> tuple[str, str]:
    assert found.cause is not None, found.findings
    return found.cause.about, found.cause.text


def dropped(mac: str, switch: int, port: int, ip: str | None, why: str = "") -> DroppedSource:
    return DroppedSource(NOW - 3, switch, port, mac, ip, why or "it belongs elsewhere", 14)


def flow(src: str, dst: str, port: int, **more: Any) -> FlowRecord:
    return FlowRecord(NOW - 5, src, dst, "tcp", 40_000, port, **more)


def test_a_switch_that_is_not_connected(held: InForce) -> None:
    found = why(held, "c1", switches=(TWO,))
    assert cause(found) == ("switch", "switch 1 is not connected")
    assert "0000000000000001" in found.to_do[0]


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (replace(ONE, phase="standby", problem="belongs to controller 17"), "wrong"),
        (replace(ONE, problem="refused the change for policy"), "wrong"),
        (replace(ONE, phase="reading"), "unsure"),
        (ONE, "fine"),
    ],
)
def test_a_switch_without_its_rules(held: InForce, state: SwitchState, level: str) -> None:
    found = why(held, "c1", switches=(state, TWO))
    assert [each.level for each in found.findings if each.about == "switch"] == [level]


def test_a_switch_whose_connection_table_is_full(held: InForce) -> None:
    assert "track no more" in cause(why(held, "c1", switches=(replace(ONE, full=True), TWO)))[1]


def test_a_port_that_the_switch_does_not_have(held: InForce) -> None:
    few = replace(ONE, ports=ConnectedSwitch(1, frozenset({1, 3})))
    about, text = cause(why(held, "c2", switches=(few, TWO)))
    assert (about, text) == (
        "port",
        "switch 1 has no port 2, where the policy has c2 (its ports: 1, 3)",
    )


def test_a_port_without_a_link(held: InForce) -> None:
    down = replace(ONE, ports=replace(ONE.ports, down=frozenset({2})))
    found = why(held, "c2", switches=(down, TWO))
    assert cause(found) == ("port", "switch 1 port 2 has no link")
    assert why(held, "c1", switches=(down, TWO)).cause is None


def test_a_port_that_leads_to_another_switch(held: InForce) -> None:
    trunk = replace(ONE, trunks=frozenset({2}))
    assert "leads to another switch" in cause(why(held, "c2", switches=(trunk, TWO)))[1]


def test_a_host_on_another_port_names_both_and_the_line_to_correct(held: InForce) -> None:
    found = why(held, "c2", "web", "tcp/443", dropped=(dropped(C2, 1, 3, "10.0.0.2"),))
    about, text = cause(found)
    assert about == "port"
    assert text.startswith("c2 is seen on switch 1 port 3, the policy has it on switch 1 port 2")
    assert "office.yaml:7: plug it in there, or correct" in found.to_do[0]
    assert [each.about for each in found.wrong] == ["port"], "and that explains the dropped packets"


def test_what_is_plugged_in_there_instead(held: InForce) -> None:
    found = why(held, "c2", dropped=(dropped(C1, 1, 2, "10.0.0.1"),))
    assert cause(found) == ("port", "c1 is plugged in at switch 1 port 2, the port of c2")


def test_another_mac_is_told_with_both(held: InForce) -> None:
    found = why(held, "c2", dropped=(dropped("02:00:00:00:00:99", 1, 2, "10.0.0.2"),))
    about, text = cause(found)
    assert about == "MAC"
    assert text.startswith("c2's declared MAC is 02:00:00:00:00:02, seen 02:00:00:00:00:99 on")


def test_a_tag_of_a_vlan_is_told_as_that(held: InForce) -> None:
    seen = dropped(C2, 1, 2, "10.0.0.2", "a tag of VLAN 20, which the host has not on this port")
    found = why(held, "c2", dropped=(seen,))
    assert cause(found)[0] == "VLAN"
    assert "gives c2 VLAN none" in found.to_do[0]


def test_a_wrong_address_on_the_right_port(held: InForce) -> None:
    seen = dropped(C2, 1, 2, "10.0.0.77", "c2 is declared with 10.0.0.2, seen 10.0.0.77")
    about, text = cause(why(held, "c2", dropped=(seen,)))
    assert about == "source"
    assert text == (
        f"14 packets of {C2} with 10.0.0.77 dropped on switch 1 port 2, the last 3 s ago: "
        "c2 is declared with 10.0.0.2, seen 10.0.0.77"
    )


def test_a_second_address_beside_one_that_passes_is_no_cause(held: InForce) -> None:
    passed = FlowRecord(NOW - 60, "10.0.0.2", "10.0.0.4", "tcp", 4, 443, src_mac=C2)
    found = why(held, "c2", dropped=(dropped(C2, 1, 2, "10.0.0.77"),), flows=(passed,))
    assert found.cause is None
    assert "14 packets of" in str(found.findings)


def test_somebody_else_with_its_address_is_no_cause(held: InForce) -> None:
    """An attacker's packets are dropped, which is right; the host itself works."""
    found = why(held, "c2", dropped=(dropped("02:00:00:00:00:99", 2, 1, "10.0.0.2"),))
    assert found.cause is None
    assert [each.level for each in found.findings if each.about == "source"] == ["unsure"]


def test_dropped_packets_of_long_ago_or_before_others_passed_are_no_cause(held: InForce) -> None:
    before = replace_ts(dropped(C2, 1, 3, "10.0.0.2"), NOW - 3_600)
    assert why(held, "c2", dropped=(before,)).cause is None
    passed = flow("10.0.0.2", "10.0.0.4", 443, src_mac=C2)
    since = replace_ts(dropped(C2, 1, 3, "10.0.0.2"), NOW - 9)
    assert why(held, "c2", dropped=(since,), flows=(passed,)).cause is None


def replace_ts(seen: DroppedSource, ts: float) -> DroppedSource:
    return DroppedSource(ts, seen.switch, seen.port, seen.mac, seen.ip, seen.reason, seen.packets)


def test_a_host_without_address_or_port(held: InForce) -> None:
    nowhere = InForce(held.policy, 3, declared_bindings(held.policy))
    policy = replace(
        held.policy,
        hosts=tuple(
            replace(h, switch=None, port=None) if h.name == "c3" else h for h in held.policy.hosts
        ),
    )
    found = why(replace(nowhere, policy=policy, bindings=()), "c3")
    about = {each.about: each.text for each in found.findings if each.level == "unsure"}
    assert about["port"] == "c3 has not been seen on any port"
    assert about["address"] == "c3 has no address yet"


def test_a_decision_on_either_end(held: InForce) -> None:
    under = replace(held, decisions=(quarantine(NOW),))
    about, text = cause(why(under, "c2", "web", "tcp/443"))
    assert about == "decision"
    assert "denied by decision d1: quarantine of c2, it scanned" in text
    assert cause(why(under, "c2"))[1] == "d1: quarantine of c2, it scanned"
    assert cause(why(under, "c1", "c2"))[0] == "decision", "the responder's counts too"
    of_port = structs.replace(quarantine(NOW), addresses=(), scope="port", ports=((1, 1),))
    whole = replace(held, decisions=(of_port,))
    assert cause(why(whole, "c1"))[0] == cause(why(whole, "c1", "web", "tcp/443"))[0] == "decision"
    assert why(whole, "c2").cause is None
    found = why(held, "c2", proposed=(quarantine(NOW),))
    assert found.cause is None and "waits for approval" in str(found.findings)


def test_a_feed_that_lists_it(held: InForce) -> None:
    block = FeedBlock("drop", Mode.ENFORCE, ((number_of(ip_address("10.0.0.1")), -1),))
    listed = replace(held, feeds=(block,))
    assert cause(why(listed, "c1", "web", "tcp/443"))[0] == "feed"
    assert "feed drop lists 10.0.0.1 and denies" in cause(why(listed, "c1"))[1]
    records = replace(held, feeds=(replace(block, mode=Mode.AUDIT),))
    assert why(records, "c1", "web", "tcp/443").cause is None


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (
            "tcp/22",
            "is denied by the default of policy office version 3; the nearest intent, browse,",
        ),
        ("tcp/631", "is denied by intent no-print ("),
    ],
)
def test_the_policys_verdict(held: InForce, service: str, text: str) -> None:
    found = why(held, "c1", "web", service)
    assert cause(found)[0] == "policy"
    assert f"10.0.0.1 to 10.0.0.4, {service} {text}" in cause(found)[1]


def test_audit_mode_forwards_what_it_would_deny(held: InForce) -> None:
    segments = tuple(replace(each, mode=Mode.AUDIT) for each in held.policy.segments)
    defaults = replace(held.policy.defaults, mode=Mode.AUDIT)
    watching = replace(held, policy=replace(held.policy, segments=segments, defaults=defaults))
    found = why(watching, "c1", "web", "tcp/22")
    assert found.cause is None
    assert "mode audit forwards it" in str(found.findings)


def test_without_a_service_the_ones_that_pass_are_listed(held: InForce) -> None:
    found = why(held, "c1", "web")
    assert "c1 to web may use tcp/443 (intent browse)" in str(found.findings)
    assert "no intent allows any service" in cause(why(held, "web", "c1"))[1]


def test_a_server_that_refuses_or_is_silent_is_the_cause(held: InForce) -> None:
    refused = flow("10.0.0.1", "10.0.0.4", 443, verdict="allow", intent="browse", state="rejected")
    about, text = cause(why(held, "c1", "web", "tcp/443", flows=(refused,)))
    assert (about, text) == ("answer", "web refused tcp/443 5 s ago: it passed the switches")
    silent = flow("10.0.0.1", "10.0.0.4", 443, verdict="allow", state="unanswered")
    assert "did not answer" in cause(why(held, "c1", "web", "tcp/443", flows=(silent,)))[1]
    answered = flow("10.0.0.1", "10.0.0.4", 443, verdict="allow", state="established")
    assert why(held, "c1", "web", "tcp/443", flows=(answered,)).cause is None


def test_what_is_wrong_below_comes_before_the_policy(held: InForce) -> None:
    found = why(held, "c2", "web", "tcp/22", switches=(TWO,))
    assert [each.about for each in found.wrong] == ["switch", "policy"]
    lines = list(diagnosis_lines(found))
    assert lines[:2] == ["c2 to web, tcp/22: does not work", "  switch 1 is not connected"]
    assert lines[3] == f"  wrong   policy     {found.wrong[1].text}", "the rest, worst first"
    assert len(lines[lines.index("What to do") + 1 :]) == 2


def test_without_a_controller_nothing_is_claimed_of_ports(held: InForce) -> None:
    found = why(held, "c1", "web", "tcp/443", switches=None)
    assert found.findings[0].text == f"no controller runs, {NOT_KNOWN}"
    assert {each.about for each in found.findings} == {"controller", "segment", "policy", "seen"}
    assert next(iter(diagnosis_lines(found))).endswith("nothing is known to be wrong")
    data = diagnosis_data(found, Situation(NOW, held))
    assert (data["works"], data["controller"], data["policy_version"]) == (None, False, 3)


@pytest.mark.parametrize("word", ["c3", "10.0.0.33", "02:00:00:00:00:03", "0200.0000.0003"])
def test_a_host_is_found_by_name_address_and_mac(held: InForce, word: str) -> None:
    found = end_of(word, held)
    assert found.host is not None and found.host.name == "c3"
    assert (found.addresses[0], found.switch, found.port) == ("10.0.0.33", 2, 1)


def test_nobody_is_one_line_with_a_suggestion(held: InForce) -> None:
    with pytest.raises(UnknownEnd, match="wbe: no host .* did you mean web"):
        end_of("wbe", held)
    with pytest.raises(QueryError):
        why(held, "c1", "web", "tcp")


def test_an_address_that_nobody_has_is_still_answered(held: InForce) -> None:
    found = why(held, "192.0.2.9", "web", "tcp/443")
    assert cause(found)[0] == "policy"
    unsure: Sequence[str] = [each.text for each in found.findings if each.level == "unsure"]
    assert "192.0.2.9 has not been seen on any port" in unsure
