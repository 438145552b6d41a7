"""Where the passage of a packet differs from what the policy says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies.model import ICMP, ICMPV6, Tier, Verdict
from policies.rules import layout
from policies.rules.layout import Category, DecidedBits, Reason, cookie, name_number
from policies.rules.ovs_text import RESERVED
from policies.rules.rule import PACKET_HEAD, Bits, Learn, LearnConstant, LearnMatch, Load
from policies.verify.expected import ExpectedPassage
from policies.verify.index import register_bits
from policies.verify.machine import MachineRun
from policies.verify.packets import IPV6, PORT_NAMES, TAG_AT

DECIDING = (Category.INTENT, Category.DEFAULT)


def differences(run: MachineRun, wanted: ExpectedPassage, in_port: int, zone: int) -> list[str]:
    """What the rules did otherwise; empty when nothing."""
    found = []
    if run.lost:
        found.append("the rules send it round in circles")
    if len(run.outputs) != len(wanted.outputs) or wanted.outputs != set(run.outputs):
        done, said = _sent_text(run.outputs), _sent_text(wanted.outputs)
        found.append(f"the rules {done}, the policy says: {said}")
    reasons = reasons_of(run)
    if reasons != wanted.copies:
        found.append(
            f"copies to the controller: {_reasons(reasons)}, not {_reasons(wanted.copies)}"
        )
    found += odd_copies(run, in_port)
    found += odd_meters(run, in_port)
    commits = [] if wanted.commit is None else [(zone, wanted.commit)]
    if run.commits != commits:
        found.append(f"remembered as {run.commits}, not {commits} (zone, intent)")
    elif commits and run.helpers != [wanted.helper]:
        found.append(f"read by helper {run.helpers[0]}, not {wanted.helper}")
    if any(each != zone for each in run.tracks):
        found.append("tracked in another switch's zone")
    passes = len(run.tracks) + len(run.commits)
    if (
        passes > 1 + (wanted.commit is not None)
        and not wanted.waits
        or wanted.waits
        and passes != 2
    ):
        found.append("fragments do not wait for each other" if wanted.waits else "tracked twice")
    if bool(run.learned) != wanted.learns:
        found.append("counted although it should not be" if run.learned else "not counted")
    for learn in run.learned:
        if not counts_one(learn, run.packet):
            found.append("what the switch learns counts other connections too, or does more")
    if wanted.verdict is not None and wanted.outcome is not None:
        found += _attribution(run, wanted.verdict, wanted.outcome)
    return found


def reasons_of(run: MachineRun) -> tuple[int, ...]:
    """Why each copy went to the controller."""
    return tuple(register_bits(registers, layout.REASON) for _, registers, _ in run.copies)


def odd_copies(run: MachineRun, in_port: int) -> list[str]:
    """What is wrong with the copies, but for their reasons."""
    found = []
    if any(meter != in_port for meter, _, _ in run.copies):
        found.append("a copy goes through another port's meter")
    for reason, (_, _, size) in zip(reasons_of(run), run.copies, strict=True):
        if size != (due := layout.COPIED.get(reason, PACKET_HEAD)):
            found.append(f"{size} bytes are copied ({_reasons((reason,))}), not {due}")
    return found


def odd_meters(run: MachineRun, in_port: int) -> list[str]:
    """What is wrong with how new connections are metered: those from an edge port pass its own
    meter once, and nothing else passes one."""
    passed = [number for number in run.meters if layout.is_connection_meter(number)]
    metered = run.commits and register_bits(run.registers, layout.FROM_EDGE)
    wanted = [layout.connection_meter(in_port)] if metered else []
    return [] if passed == wanted else ["new connections are not metered by their own port"]


def _attribution(run: MachineRun, verdict: Verdict, outcome: int) -> list[str]:
    found = []
    said = register_bits(run.registers, layout.OUTCOME)
    if said != outcome:
        found.append(f"recorded as {_outcome(said)}, not {_outcome(outcome)}")
    if verdict.tier is Tier.ADAPTIVE:
        if not register_bits(run.registers, layout.BY_DECISION):
            found.append("not attributed to the machine decision")
        return found
    number, cause = label_of(verdict)
    have = register_bits(run.registers, layout.INTENT)
    if have != number:
        found.append(f"attributed to intent number {have:#x}, not {number:#x}")
    causes = [rule.cookie for rule in run.rules if rule.cookie >> 48 & 0xFF in DECIDING]
    if causes != [cause]:
        named = ", ".join(f"{each:#x}" for each in causes) or "none"
        found.append(f"the deciding rule's cookie is {named}, not {cause:#x}")
    return found


def label_of(verdict: Verdict) -> tuple[int, int]:
    """Intent number and cookie of the rule that must decide."""
    if verdict.intent is None:
        return 0, cookie(Category.DEFAULT)
    number = name_number(verdict.intent)
    return number, cookie(Category.INTENT, number)


def counts_one(learn: Learn, packet: Mapping[str, int]) -> bool:
    """Whether the learned rule matches this connection and direction alone and only marks it."""
    fixed = {spec.target: spec.value for spec in learn.match if isinstance(spec, LearnConstant)}
    copied = {spec.source for spec in learn.match if isinstance(spec, LearnMatch)}
    six = packet["eth_type"] == IPV6
    family, width, proto = ("ipv6", 128) if six else ("ip", 32), 8, packet["ip_proto"]
    whole = [Bits(f"{family[0]}_{end}", 0, family[1]) for end in ("src", "dst")]
    if (name := PORT_NAMES.get(proto)) is not None:
        whole += [Bits(f"{name}_src", 0, 16), Bits(f"{name}_dst", 0, 16)]
    elif proto == (ICMPV6 if six else ICMP):
        name = "icmpv6" if six else "icmp"
        whole += [Bits(f"{name}_type", 0, width), Bits(f"{name}_code", 0, width)]
    same = {Bits("eth_type", 0, 16): packet["eth_type"], Bits("ip_proto", 0, 8): proto}
    known = all(bits in copied or fixed.get(bits) == value for bits, value in same.items())
    return (
        known
        and copied.issuperset([*whole, layout.REPLY, layout.OUTCOME, layout.INTENT])
        and all(same.get(bits) == value for bits, value in fixed.items())
        and learn.table == layout.RuleTable.COUNT
        and learn.load == Load(layout.COUNTED, 1)
        and learn.cookie == cookie(Category.COUNT)
    )


def _sent_text(ports: Iterable[int]) -> str:
    listed = ", ".join(_way_text(port) for port in sorted(ports))
    return f"forward to port {listed}" if listed else "drop"


def _way_text(out: int) -> str:
    port, tag = out & (1 << TAG_AT) - 1, out >> TAG_AT
    text = RESERVED.get(port) or str(port)
    return f"{text} in VLAN {tag & 0xFFF}" if tag else text


def _reasons(values: Iterable[int]) -> str:
    known = {each.value: each.name.lower() for each in Reason}
    return ", ".join(known.get(value, str(value)) for value in values) or "none"


def _outcome(value: int) -> str:
    known = {each.value: each.name.lower().replace("_", "-") for each in DecidedBits}
    return known.get(value, "nothing")
