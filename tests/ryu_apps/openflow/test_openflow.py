"""Bytes in and out: what is written is what a switch reports, and odd bytes are refused."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.compiler.stateful.base import base_rules, port_rules
from policies.rules import layout
from policies.rules.rule import Field, Goto, Rule, match
from ryu_apps.openflow import decode, messages
from ryu_apps.openflow.discovery_frames import DiscoveryFrame, lldp_frame, read_lldp
from ryu_apps.openflow.encode import WireRule, flow_mod, match_bytes, wire_rule
from ryu_apps.openflow.ethernet import read_frame
from ryu_apps.openflow.fields import BY_NAME

RULES = [wire_rule(rule) for rule in (*base_rules(7), *port_rules((1, 2), frozenset({3})))]


def stats_reply(rules: list[WireRule]) -> bytes:
    """A multipart reply as a switch would send it."""
    body = b""
    for rule in rules:
        table, priority, key = rule.key
        rest = match_bytes(key) + rule.instructions
        fixed = struct.Struct("!HBxIIHHHHxxxxQQQ")
        body += (
            fixed.pack(
                fixed.size + len(rest),
                table,
                1,
                0,
                priority,
                0,
                rule.hard_timeout,
                0,
                rule.cookie,
                0,
                0,
            )
            + rest
        )
    return messages.message(19, 1, struct.pack("!HHxxxx", 1, 0) + body)


def test_rules_read_back_are_the_rules_written() -> None:
    read = [rule for _, rule in decode.flow_stats(stats_reply(RULES))]
    assert {rule.key: rule for rule in read} == {rule.key: rule for rule in RULES}


@given(st.integers(0, 2000), st.integers(0, 255))
def test_damaged_listings_are_malformed_not_fatal(at: int, value: int) -> None:
    data = bytearray(stats_reply(RULES[:8]))
    data[at % len(data)] = value
    try:
        list(decode.flow_stats(bytes(data)))
    except decode.Malformed:
        pass


@given(st.binary(max_size=200))
def test_random_packet_ins_never_crash(data: bytes) -> None:
    for parse in (decode.packet_in, decode.flow_removed):
        try:
            parse(b"\x04\x0a\x00\x00\x00\x00\x00\x00" + data)
        except decode.Malformed:
            pass


FIELDS = {"in_port": 3, "eth_type": 0x800, "reg0": 0x4100_0A61, "reg1": 0x7129_B8D5, "reg5": 9}


@given(st.permutations(sorted(FIELDS)), st.sets(st.sampled_from(sorted(FIELDS))))
@example(["in_port", "eth_type", "reg0", "reg1", "reg5"], set())
@example(["in_port", "eth_type", "reg0", "reg1", "reg5"], {"reg5"})
def test_a_copy_is_read_the_same_in_whatever_order(order: list[str], left_out: set[str]) -> None:
    """The order that Open vSwitch uses is read in one go, any other field by field."""
    present = {name: FIELDS[name] for name in order if name not in left_out}
    fields = tuple(
        struct.pack("!I", BY_NAME[n].header) + value.to_bytes(BY_NAME[n].size, "big")
        for n, value in present.items()
    )
    body = struct.pack("!IHBBQ", 0xFFFFFFFF, 60, 0, 12, 7) + match_bytes(fields) + b"\0\0"
    buf = messages.message(10, 0, body + bytes(60))
    read = decode.packet_in(buf)
    wanted = {name: present[name] for name in ("in_port", "reg0", "reg1") if name in present}
    assert (read.table, read.cookie, read.fields, len(read.frame)) == (12, 7, wanted, 60)
    for length in range(24, 28 + sum(map(len, fields))):  # cut off within the match
        with pytest.raises(decode.Malformed):
            decode.packet_in(buf[:length])


@given(st.binary(max_size=160))
def test_random_frames_never_crash(data: bytes) -> None:
    read_frame(data)
    read_lldp(data, b"secret")


def test_a_masked_field_says_so_in_its_header() -> None:
    rule = Rule(0, 1, match(Field("reg8", 0x0A000000, 0xFF000000)), (Goto(1),), 5)
    (field,) = wire_rule(rule).key[2]
    assert field.hex() == "00011108" + "0a000000" + "ff000000"


def test_a_whole_fragment_field_has_no_mask() -> None:
    """Open vSwitch gives it back without one; else these rules would always seem to be others."""
    rule = Rule(0, 1, match(Field("ip_frag", 3)), (Goto(1),), 5)
    assert wire_rule(rule).key[2][0].hex() == "00013401" + "03"
    assert all(f.mask != 3 for r in base_rules(7) for f in r.match if f.name == "ip_frag")


def test_deleting_names_the_cookie_and_no_instructions() -> None:
    rule = RULES[0]
    body = flow_mod(rule, 4)
    assert body[8:16] == b"\xff" * 8
    assert len(body) == 40 + len(match_bytes(rule.key[2]))


def test_field_sizes_are_bytes_of_the_value() -> None:
    assert BY_NAME["ipv6_src"].header & 0xFF == 16
    assert BY_NAME["xxreg2"].action_header == 1 << 16 | 113 << 9 | 16


def test_our_lldp_comes_back_and_a_forged_one_does_not() -> None:
    sent = DiscoveryFrame(3, 7, b"nonce678", 1_700_000_000.5)
    frame = lldp_frame(sent, bytes(6), b"secret")
    assert read_lldp(frame, b"secret") == sent
    assert read_lldp(frame, b"another") is None
    forged = frame.replace(b"dpid:0000000000000003", b"dpid:0000000000000004")
    assert read_lldp(forged, b"secret") is None


def test_frames_tell_their_ends() -> None:
    tcp = bytes.fromhex(
        "00000000000200000000000108004500002800004000400600000a0000010a000002c00001bb" + "00" * 16
    )
    frame = read_frame(tcp)
    assert frame is not None
    assert (frame.src_ip, frame.dst_ip, frame.proto, frame.ports) == (
        "10.0.0.1",
        "10.0.0.2",
        "tcp",
        (49152, 443),
    )


@pytest.mark.parametrize(("offset", "ports"), [(0, (49152, 443)), (185, (0, 0))])
def test_a_fragment_after_the_first_has_no_ports(offset: int, ports: tuple[int, int]) -> None:
    payload = struct.pack("!HHHH", 49152, 443, 4008, 0)
    four = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0x2000 | offset, 64, 17, 0)
    four += bytes([10, 0, 0, 1, 10, 0, 0, 2])
    six = struct.pack("!IHBB", 6 << 28, 16, 44, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
    six += struct.pack("!BBHI", 17, 0, offset << 3 | 1, 1)
    for eth_type, head in ((0x0800, four), (0x86DD, six)):
        frame = read_frame(bytes(12) + struct.pack("!H", eth_type) + head + payload)
        assert frame is not None and (frame.proto, frame.ports) == ("udp", ports)


@pytest.mark.parametrize("switch", [1, 0xFFFF, 0x10000, 2**64 - 1])
def test_zones_are_valid_for_every_datapath(switch: int) -> None:
    assert 1 <= layout.zone_of(switch) <= 0xFFFF
