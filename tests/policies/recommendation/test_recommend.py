"""A policy recommended from traffic: admits what is every day's business, and no attack."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.cli import run
from policies.language.reader import read_policy
from policies.model import Action, Host, Policy
from policies.recommendation import Recommendation, policy_text, recommend
from policies.review.lint import check_policy
from policies.review.recorded_traffic import RecordedTraffic, traffic_of
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from topology.records import FlowRecord

DAY = 86_400.0


def flow(src: str, dst: str, service: str, packets: int = 9, ts: float = 1.0) -> FlowRecord:
    proto, _, port = service.partition("/")
    return FlowRecord(
        ts, src, dst, proto, 50_000, int(port or 0), packets=packets, bytes=60 * packets
    )


def web(n: int) -> str:
    return f"10.0.1.{n}"


def desk(n: int) -> str:
    return f"10.0.9.{n}"


DBS, DNS, OPS, MAIL = ("10.0.3.1", "10.0.3.2"), "10.0.0.53", "10.0.0.9", "10.0.0.25"


def office(seed: int = 1) -> list[FlowRecord]:
    """A day without an attack."""
    random = Random(seed)
    flows = []
    for n in range(1, 7):
        flows += [flow(web(n), db, "tcp/5432") for db in DBS for _ in range(random.randint(20, 60))]
        flows += [flow(f"198.51.100.{k}", web(n), "tcp/443") for k in range(1, 30)]
        flows += [flow(OPS, web(n), "tcp/22") for _ in range(3)]
    for n in range(1, 31):
        flows += [flow(desk(n), web(random.randint(1, 6)), "tcp/443") for _ in range(20)]
        flows += [flow(desk(n), MAIL, "tcp/993") for _ in range(random.randint(5, 9))]
        flows += [flow(desk(n), f"203.0.113.{random.randint(1, 99)}", "tcp/443") for _ in range(15)]
    everyone = [*map(web, range(1, 7)), *map(desk, range(1, 31)), MAIL]
    flows += [flow(one, DNS, "udp/53", 2) for one in everyone for _ in range(20)]
    flows.append(flow(desk(7), MAIL, "tcp/8025"))  # once, and nobody else
    return flows


def sweep(port: int, hosts: int = 20, open_share: float = 0.3) -> list[FlowRecord]:
    """A web server that looks for a service, some of it there."""
    random = Random(port)
    targets = [desk(n) for n in range(1, hosts + 1)]
    return [
        flow(web(1), target, f"tcp/{port}", 8 if random.random() < open_share else 2)
        for target in targets
    ]


def built(found: Recommendation, hosts: Sequence[Host] = ()) -> Policy:
    """The written policy, read again without a single finding."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.yaml"
        file.write_text(policy_text(found, hosts))
        result = read_policy([file])
    assert result.diagnostics == ()
    assert result.policy is not None
    assert check_policy(result.policy, Membership(result.policy), 0.0) == ()
    return result.policy


def admitted(policy: Policy, traffic: RecordedTraffic) -> float:
    """The share of connections that a policy allows."""
    judge = Judge(policy, Membership(policy))
    allowed = total = 0
    for connection, seen in (*traffic.carried, *traffic.blocked):
        total += seen.connections
        if judge.verdict(connection, 0.0).action is Action.ALLOW:
            allowed += seen.connections
    return allowed / total


@pytest.mark.parametrize("seed", range(3))
def test_every_days_business_is_admitted(seed: int) -> None:
    benign = traffic_of(office(seed))
    found = recommend(benign)
    assert admitted(built(found), benign) == pytest.approx(found.coverage)
    assert found.coverage >= 0.99
    assert found.tightness >= 0.5
    sizes = {len(role.members) for role in found.roles}
    assert {6, 30, 2} <= sizes  # web servers, desks, databases


def test_the_same_traffic_gives_the_same_policy() -> None:
    flows = office()
    text = policy_text(recommend(traffic_of(flows)))
    Random(5).shuffle(flows)
    assert policy_text(recommend(traffic_of(flows))) == text


@pytest.mark.parametrize("port", [22, 445, 8009])
@pytest.mark.parametrize("open_share", [0.0, 0.4])
def test_a_sweep_is_left_out_and_listed(port: int, open_share: float) -> None:
    attack = sweep(port, open_share=open_share)
    hop = [flow(web(1), desk(3), "tcp/4444", 50) for _ in range(9)]
    away = [flow(web(1), "192.0.2.66", "tcp/8443", 50) for _ in range(40)]
    found = recommend(traffic_of([*office(), *attack, *hop, *away]))
    policy = built(found)
    assert admitted(policy, traffic_of([*attack, *hop, *away])) == 0
    assert admitted(policy, traffic_of(office())) >= 0.99
    listed = {(e.edge.client, e.edge.server, e.edge.port) for e in found.left_out}
    assert {(web(1), desk(n), (6, port)) for n in range(1, 21)} <= listed
    assert (web(1), "192.0.2.66", (6, 8443)) in listed


@pytest.mark.parametrize("port", [22, 111, 593, 2222, 2375])
def test_a_slow_sweep_with_a_good_password_is_left_out(port: int) -> None:
    attack = sweep(port, hosts=6, open_share=1.0)
    found = recommend(traffic_of([*office(), *attack]))
    assert admitted(built(found), traffic_of(attack)) == 0
    why = {each.reason for each in found.left_out if each.edge.client == web(1)}
    assert why == {"administration of many hosts, none of them a habit"}


def test_a_port_scan_is_left_out() -> None:
    scan = [flow(web(2), DBS[0], f"tcp/{port}", 2) for port in range(5400, 5440) if port != 5432]
    found = recommend(traffic_of([*office(), *scan]))
    policy = built(found)
    assert admitted(policy, traffic_of(scan)) == 0
    # Whom it looked at, it is not trusted with; what others do there goes on.
    assert admitted(policy, traffic_of([flow(web(3), DBS[0], "tcp/5432")])) == 1


def test_operations_may_do_what_is_their_habit() -> None:
    found = recommend(traffic_of(office()))
    policy = built(found)
    assert admitted(policy, traffic_of([flow(OPS, web(4), "tcp/22")])) == 1
    assert admitted(policy, traffic_of([flow(desk(1), web(4), "tcp/22")])) == 0


def test_what_the_network_refused_or_nobody_answered_is_not_allowed() -> None:
    flows = office()
    flows += [flow(desk(1), DBS[0], "tcp/5432", 1)] * 3
    denied = FlowRecord(1.0, desk(2), DBS[0], "tcp", 5, 5432, state="denied")
    found = recommend(traffic_of([*flows, denied]))
    assert admitted(built(found), traffic_of([flow(desk(1), DBS[0], "tcp/5432"), denied])) == 0
    reasons = {each.edge.client: each.reason for each in found.left_out}
    assert reasons[desk(1)] == "never answered"
    assert reasons[desk(2)] == "the network refused it"


def test_who_was_refused_everywhere_is_not_trusted_with_administration() -> None:
    """A server at work is taken over, is refused nearly everywhere, and hops where ssh is open."""
    work = [flow(web(1), "10.0.4.1", "tcp/9000", ts=1.0)] * 200
    refused = [
        FlowRecord(100.0, web(1), desk(n), "tcp", 5, 3389, state="denied") for n in range(1, 12)
    ]
    hop = [flow(web(1), web(2), "tcp/22", 60, ts=150.0)] * 5
    shell = [flow(web(1), web(2), "tcp/4444", 60, ts=160.0)] * 30
    policy = built(recommend(traffic_of([*office(), *work, *refused, *hop, *shell])))
    assert admitted(policy, traffic_of([*refused, *hop, *shell])) == 0
    assert admitted(policy, traffic_of(work)) == 1


def test_what_is_tried_again_and_again_in_vain_is_left_out() -> None:
    calls = [flow(desk(4), "192.0.2.7", "tcp/5888", 4)] * 99
    once = flow(desk(4), "192.0.2.7", "tcp/5888", 40)
    found = recommend(traffic_of([*office(), *calls, once]))
    assert admitted(built(found), traffic_of([*calls, once])) == 0
    assert "hardly ever answered" in {each.reason for each in found.left_out}


def test_one_hosts_own_service_outside_opens_no_more_than_its_server() -> None:
    many = [flow(desk(4), f"192.0.2.{n}", f"tcp/{7000 + n}", 9) for n in range(1, 9)]
    own = [flow(desk(4), "192.0.2.99", "tcp/1194", 30)] * 20
    policy = built(recommend(traffic_of([*office(), *many, *own])))
    assert admitted(policy, traffic_of(own)) == 1
    assert admitted(policy, traffic_of([flow(desk(4), "192.0.2.98", "tcp/1194")])) == 0


def test_administration_from_outside_needs_a_habit() -> None:
    stranger, partner = flow("192.0.2.1", web(1), "tcp/22"), flow("192.0.2.2", web(1), "tcp/22")
    policy = built(recommend(traffic_of([*office(), stranger, *[partner] * 5])))
    assert admitted(policy, traffic_of([stranger])) == 0
    assert admitted(policy, traffic_of([partner])) == 1
    assert admitted(policy, traffic_of([flow("192.0.2.3", web(1), "tcp/22")])) == 0


def test_ranges_only_where_every_port_was_seen() -> None:
    ports = [5000, 5001, 5002, 5004]
    flows = [flow("10.0.0.1", "10.0.0.2", f"udp/{port}", 2) for port in ports for _ in range(3)]
    (intent,) = (i for i in built(recommend(traffic_of(flows))).intents if i.tier == "application")
    assert [str(service) for service in intent.services] == ["udp/5000-5002", "udp/5004"]


def test_public_networks_of_ours_are_found_or_told() -> None:
    flows = [
        flow(f"147.32.1.{a}", f"203.0.{b}.1", "tcp/443") for a in range(9) for b in range(1, 99)
    ]
    found = recommend(traffic_of(flows))
    assert ip_network("147.32.0.0/16") in found.places.networks
    assert found.coverage == 1
    told = recommend(traffic_of(flows), inside=[ip_network("203.0.0.0/16")])
    assert told.places.networks == (ip_network("203.0.0.0/16"),)
    assert "outside" in {s.name for s in built(told).segments}


INVENTORY = "name,ip,labels\n" + "".join(
    f"web{n},{web(n)};fd00:1::{n},role=web\n" for n in range(1, 7)
) + "db1,10.0.3.1,role=db\ndb2,10.0.3.2,role=db\n"  # fmt: skip


@pytest.mark.thorough
def test_the_command_with_an_inventory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flows, hosts, out = tmp_path / "f.jsonl", tmp_path / "hosts.csv", tmp_path / "d" / "p.yaml"
    hosts.write_text(INVENTORY)
    out.parent.mkdir()
    fields = ("ts", "src_ip", "dst_ip", "proto", "dst_port", "packets", "bytes")
    records = [*office(), *sweep(22), flow("fd00:1::2", "fd00:9::9", "tcp/80")]
    flows.write_text(
        "\n".join(json.dumps({name: getattr(r, name) for name in fields}) for r in records)
    )
    words = ["policy", "recommend", "--flows", str(flows), "--inventory", str(hosts)]
    assert run([*words, "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "coverage" in shown and "tightness" in shown
    assert "web1: tcp/22 of" in shown and "administration of many hosts" in shown
    text = out.read_text()
    assert 'include: ["../hosts.csv"]' in text or "include: [../hosts.csv]" in text
    assert "  web: {members: [{labels: {role: web}}]}" in text
    assert "  db: {members: [{labels: {role: db}}]}" in text
    root = ["--include-root", str(tmp_path)]
    assert " ".join(root) in shown
    assert run(["policy", "check", str(out), "--strict", *root]) == 0
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert 0.9 < data["coverage"] < 1 and 0 < data["tightness"] <= 1
    assert data["policy"].startswith("# Recommended")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--mode", "strict"], "--mode strict: choose one of"),
        (["--rare", "2"], "--rare 2.0: a share"),
        (["--inside", "10.0.0.1/8"], "host bits"),
        (["--inventory", "nowhere.csv"], "nowhere.csv: no such file"),
        (["-o", "nowhere/p.yaml"], "nowhere/p.yaml: No such file"),
    ],
)
def test_wrong_words_are_one_line(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.csv").write_text("ts,src_ip,dst_ip,proto,dst_port\n1,10.0.0.1,10.0.0.2,tcp,22\n")
    assert run(["policy", "recommend", "--flows", "f.csv", *more]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


ADDRESSES = (
    *(f"10.0.0.{n}" for n in range(1, 8)), "203.0.113.5", "203.0.113.6", "198.51.100.1",
    "fd00::1", "fd00::2", "2001:db8::5", "224.0.0.251", "255.255.255.255", "ff02::fb", "0.0.0.0",
)  # fmt: skip
LABELLED = (
    Host("a", ips=(ip_network("10.0.0.1/32").network_address,), labels=(("role", "x"),)),
    Host("b", ips=(ip_network("10.0.0.2/32").network_address,), labels=(("role", "x"),)),
    Host("c: d", ips=(ip_network("fd00::1/128").network_address,)),
    Host(
        "e",
        ips=(ip_network("10.0.0.3/32").network_address,),
        labels=(("env", "no"), ("role", "x")),
    ),
)
records = st.builds(
    FlowRecord,
    ts=st.just(1.0),
    src_ip=st.sampled_from(ADDRESSES),
    dst_ip=st.sampled_from(ADDRESSES),
    proto=st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "47", "0", "255"]),
    src_port=st.sampled_from([0, 8, 255]),
    dst_port=st.sampled_from([0, 22, 80, 81, 443, 65535]),
    packets=st.sampled_from([None, 1, 9]),
    state=st.sampled_from([None, "established", "rejected", "denied"]),
)


@settings(max_examples=150)
@given(st.lists(records, max_size=40), st.booleans())
def test_whatever_was_seen_the_policy_is_clean_and_admits_what_it_says(
    flows: list[FlowRecord], labelled: bool
) -> None:
    same = [f for f in flows if (":" in f.src_ip) == (":" in f.dst_ip)]
    hosts = LABELLED if labelled else ()
    traffic = traffic_of(same)
    found = recommend(traffic, hosts)
    policy = built(found, hosts)
    judge = Judge(policy, Membership(policy))
    admitted = sum(
        seen.connections
        for connection, seen in (*traffic.carried, *traffic.blocked)
        if judge.verdict(connection, 0.0).action is Action.ALLOW
    )
    assert admitted == found.admitted
    assert 0 <= found.coverage <= 1 and 0 <= found.tightness <= 1
