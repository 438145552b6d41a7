"""Connections that a helper found are judged as the one they belong to, and only those."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from policies.compiler import CompileError, SwitchView
from policies.compiler.common.bindings import declared_bindings
from policies.compiler.compiler import Compiler
from policies.compiler.targets import SwitchTarget, rules_for
from policies.language.reader import load_policy, read_policy
from policies.language.sources import CopiedSources
from policies.model import Policy
from policies.rules.conntrack import CT_NEW, CT_REL, CT_RPL, CT_TRK
from policies.rules.layout import name_number
from policies.rules.rule import Commit, Rule
from policies.rules.simulator import Interpreter, Passage
from policies.semantics.membership import Membership
from tests.support.file_servers import TEXT
from topology.addresses import mac_number

VIEW, NOW = SwitchView(1, (1, 2), frozenset(), {}), 1_000.0
MACS = {1: mac_number("02:00:00:00:00:01"), 2: mac_number("02:00:00:00:00:02")}
MARK = name_number("files")


def policy(text: str = TEXT) -> Policy:
    return load_policy(["p.yaml"], CopiedSources({"p.yaml": text}))


def compiler(of: Policy) -> Compiler:
    bindings = declared_bindings(of)
    return Compiler(of, Membership(of, bindings), bindings, NOW)


def data(
    rules: tuple[Rule, ...], sender: int, port: int, *, mark: int = MARK, six: bool = False,
    proto: int = 6, reply: bool = False, new: bool = True,
) -> Passage:  # fmt: skip
    """A packet of a connection that belongs to the client's control connection."""
    family, tracked = ("ipv6", "ipv6") if six else ("ip", "nw")
    name = "tcp" if proto == 6 else "udp"
    ends = {n: int(ip_address(f"fd09::{n}" if six else f"10.9.0.{n}")) for n in (1, 2)}
    far = 3 - sender
    packet = {
        "in_port": sender, "eth_src": MACS[sender], "eth_dst": MACS[far],
        "eth_type": 0x86DD if six else 0x800, "ip_proto": proto,
        f"{family}_src": ends[sender], f"{family}_dst": ends[far],
        f"{name}_src": port if reply else 40_000, f"{name}_dst": 40_000 if reply else port,
        "tcp_flags": 2, "ct_mark": mark, f"ct_{tracked}_src": ends[1],
        f"ct_{tracked}_dst": ends[2], "ct_nw_proto": proto, "ct_tp_src": 50_000,
        "ct_tp_dst": 21 if proto == 6 else 69,
    }  # fmt: skip
    state = CT_TRK | CT_REL | (CT_RPL if reply else 0) | (CT_NEW if new else 0)
    return Interpreter(rules).run(packet, state)


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("sender", [1, 2])
def test_data_passes_whichever_end_opens_it(sender: int, six: bool) -> None:
    rules = compiler(policy()).rules(VIEW)
    for port in (1_024, 2_047, 20_000, 65_535):
        assert data(rules, sender, port, six=six).outputs == [3 - sender]
        assert data(rules, sender, port, six=six, reply=True, new=False).outputs == [3 - sender]
    assert data(rules, 2, 30_000, six=six, proto=17).outputs == [1], "TFTP answers from elsewhere"


def test_but_not_below_1024_nor_under_another_intents_mark() -> None:
    rules = compiler(policy()).rules(VIEW)
    for sender in (1, 2):
        for port in (0, 22, 1_023):
            assert data(rules, sender, port).outputs == []
        assert data(rules, sender, 30_000, mark=0).outputs == []
        assert data(rules, sender, 30_000, mark=MARK ^ 1).outputs == []


def test_it_ends_with_its_intent_and_where_the_control_connection_is_denied() -> None:
    gone = policy(TEXT.replace("[files, boot]}", "[tcp/80]}"))
    assert data(compiler(gone).rules(VIEW), 1, 30_000, new=False).outputs == []
    deny = (
        "  - {name: no, from: clients, to: servers, services: [tcp/21], action: deny, "
        "tier: security}\n"
    )
    denied = TEXT.replace("defaults:", f"{deny}defaults:")
    assert data(compiler(policy(denied)).rules(VIEW), 1, 30_000, new=False).outputs == []


def test_only_the_control_connection_is_read() -> None:
    rules = compiler(policy()).rules(VIEW)
    commits = {each.helper for rule in rules for each in rule.actions if isinstance(each, Commit)}
    assert commits == {None, "ftp", "tftp"}
    assert not any(
        isinstance(each, Commit) and each.helper
        for rule in data(rules, 2, 30_000).rules
        for each in rule.actions
    )


def test_a_policy_without_helpers_has_no_rule_about_them() -> None:
    plain = TEXT.replace("files: [{port: tcp/21, helper: ftp}]", "files: [tcp/21]")
    plain = plain.replace("boot: [{port: udp/69, helper: tftp}]", "boot: [udp/69]")
    rules = compiler(policy(plain)).rules(VIEW)
    assert not any(field.name == "ct_mark" for rule in rules for field in rule.match)
    assert not any(
        isinstance(each, Commit) and each.helper for rule in rules for each in rule.actions
    )


def test_a_change_of_helpers_is_the_difference() -> None:
    plain = policy(TEXT.replace("[{port: tcp/21, helper: ftp}]", "[tcp/21]"))
    with_helper = policy()
    for old, new in ((plain, with_helper), (with_helper, plain)):
        running = compiler(old)
        before = set(running.rules(VIEW))
        bindings = declared_bindings(new)
        update = running.update(new, Membership(new, bindings), bindings, NOW)
        change = update.everywhere + update.single.get(1, type(update.everywhere)())
        after = (before - set(change.removed)) | set(change.added)
        assert after == set(running.rules(VIEW)) == set(compiler(new).rules(VIEW))


@pytest.mark.parametrize("target", [SwitchTarget.STATELESS, SwitchTarget.SINGLE])
def test_switches_without_connection_tracking_refuse(target: SwitchTarget) -> None:
    of = policy()
    bindings = declared_bindings(of)
    with pytest.raises(CompileError, match="'files' has the helper ftp"):
        rules_for(target, of, Membership(of, bindings), VIEW, bindings, NOW)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{port: udp/21, helper: ftp}", "reads connections to one tcp port, not udp/21"),
        ("{port: tcp, helper: ftp}", "one tcp port"),
        ("{port: tcp/21-22, helper: ftp}", "one tcp port"),
        ("{port: tcp/21, helper: sip}", "'sip' is not one of ftp, tftp"),
        ("{port: tcp/21}", "needs 'helper'"),
        ("{helper: ftp}", "needs 'port'"),
        ("{port: tcp/21, helper: ftp, x: 1}", "unknown key 'x'"),
    ],
)
def test_what_is_no_service_with_a_helper_is_said(entry: str, said: str) -> None:
    text = TEXT.replace("{port: tcp/21, helper: ftp}", entry)
    read = read_policy(["p.yaml"], CopiedSources({"p.yaml": text}))
    assert any(said in str(each) for each in read.errors), read.errors
