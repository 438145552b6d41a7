from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import Service
from policies.semantics.prefixes import Prefix, prefix_of
from response.feeds.entries import Entry, FeedError, FeedReading, prefixes_of
from response.feeds.read import read_feed
from response.feeds.stix_pattern import UnusableError, terms_of


def at(text: str) -> Prefix:
    return prefix_of(ip_network(text))


def read(text: str, form: str) -> FeedReading:
    return read_feed(text.encode(), form)


def networks(reading: FeedReading) -> list[str]:
    return [entry.text for entry in reading.entries]


def test_a_plain_list_as_they_are_published() -> None:
    reading = read(
        "; Spamhaus DROP\n# FireHOL\n// somebody\n\n198.51.100.0/24 ; SBL1\n203.0.113.7\n"
        "2001:db8:bad::/48 # v6\n192.0.2.10-192.0.2.13\n192.0.2.99:8443\n"
        "[2001:db8::1]:443\n",
        "cidr-list",
    )
    assert networks(reading) == [
        "198.51.100.0/24", "203.0.113.7/32", "2001:db8:bad::/48", "192.0.2.10/31",
        "192.0.2.12/31", "192.0.2.99/32", "2001:db8::1/128",
    ]  # fmt: skip
    assert [entry.line for entry in reading.entries] == [5, 6, 7, 8, 8, 9, 10]
    assert reading.entries[5].service == Service(6, 8443, 8443)
    assert reading.entries[0].service is None
    assert reading.bad.total == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("198.51.100.9/24", "host bits are set"),
        ("300.1.1.1", "no address, network or range"),
        ("evil.example", "no address, network or range"),
        ("192.0.2.9-192.0.2.1", "no address, network or range"),
        ("192.0.2.9-2001:db8::1", "no address, network or range"),
        ("192.0.2.9:99999", "no port"),
        ("192.0.2.1 192.0.2.2", "no address, network or range"),
    ],
)
def test_a_line_that_is_none_is_noted_with_its_place(line: str, reason: str) -> None:
    reading = read(f"198.51.100.0/24\n203.0.113.0/24\n{line}\n", "cidr-list")
    assert len(reading.entries) == 2
    (note,) = reading.bad.first
    assert (note.line, note.text, note.reason) == (3, line, reason)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"<html><body>log in first</body></html>\n<p>", "cidr-list"),
        (b"\xff\xfe\x00", "cidr-list"),
        (b"{}[", "stix2"),
        (b'{"type": "report"}', "stix2"),
        (b'"text"', "stix2"),
        (b'{"type": "bundle", "objects": 5}', "stix2"),
        (b"[" * 100_000, "stix2"),
        (b"name,colour\na,blue\n", "csv"),
    ],
)
def test_what_is_no_feed_is_refused_as_a_whole(data: bytes, form: str) -> None:
    with pytest.raises(FeedError) as problem:
        read_feed(data, form)
    assert "\n" not in str(problem.value)


def test_an_empty_list_is_a_list() -> None:
    assert read("# nothing today\n", "cidr-list").entries == []
    assert read("", "csv").entries == []
    assert read('{"type": "bundle", "id": "bundle--1"}', "stix2").entries == []


def test_csv_with_a_header() -> None:
    reading = read(
        "network,confidence,valid_until,note\n"
        '198.51.100.0/24,80,2027-01-31T00:00:00Z,"a, b"\n'
        "203.0.113.7,,,\n"
        "203.0.113.8,101,,\n"
        "203.0.113.9,5,soon,\n",
        "csv",
    )
    assert reading.entries == [
        Entry(2, at("198.51.100.0/24"), None, "any", 80, None, 1801353600.0),
        Entry(3, at("203.0.113.7/32")),
    ]
    assert [note.line for note in reading.bad.first] == [4, 5]


def test_csv_as_abuse_ch_writes_it() -> None:
    reading = read(
        "################################\n"
        '# "first_seen_utc","dst_ip","dst_port","c2_status"\n'
        '"2026-11-01 10:00:00","203.0.113.5","443","online"\n'
        '"2026-11-01 10:00:00","203.0.113.6","","online"\n',
        "csv",
    )
    assert reading.entries == [
        Entry(3, at("203.0.113.5/32"), Service(6, 443, 443), "to"),
        Entry(4, at("203.0.113.6/32"), None, "to"),
    ]


def test_csv_without_a_header_finds_the_column() -> None:
    assert networks(read("bad,203.0.113.5\nbad,203.0.113.6\n", "csv")) == [
        "203.0.113.5/32", "203.0.113.6/32",
    ]  # fmt: skip


def indicator(pattern: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--{abs(hash(pattern))}",
        "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
        "pattern": pattern, "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def bundle(*objects: dict[str, Any]) -> str:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects})


def test_a_bundle_with_validity_and_confidence() -> None:
    reading = read(
        bundle(
            {"type": "identity", "name": "us"},
            indicator("[ipv4-addr:value = '203.0.113.5']", confidence=85,
                      valid_until="2026-06-01T00:00:00.000Z"),
            indicator("[ipv6-addr:value ISSUBSET '2001:db8:bad::/48']"),
        ),
        "stix2",
    )  # fmt: skip
    first, second = reading.entries
    assert (first.line, first.text, first.confidence) == (2, "203.0.113.5/32", 85)
    assert (first.starts, first.ends) == (1767225600.0, 1780272000.0)
    assert (second.confidence, second.ends) == (None, None)
    assert reading.passed_over.counts == {"no indicator": 1}


def test_revoked_benign_and_older_versions_are_not_used() -> None:
    one = indicator("[ipv4-addr:value = '203.0.113.5']")
    reading = read(
        bundle(
            {**one, "modified": "2026-03-01T00:00:00Z", "revoked": True},
            one,
            indicator("[ipv4-addr:value = '203.0.113.6']", revoked=True),
            indicator("[ipv4-addr:value = '203.0.113.7']", indicator_types=["benign"]),
            indicator("rule x { condition: true }", pattern_type="yara"),
            indicator("[ipv4-addr:value = '203.0.113.8']"),
        ),
        "stix2",
    )
    assert networks(reading) == ["203.0.113.8/32"]


TERMS = {
    "[ipv4-addr:value = '203.0.113.5']": [("203.0.113.5/32", "any", (None,))],
    "[ipv4-addr:value IN ('203.0.113.5', '203.0.113.9')]": [
        ("203.0.113.5/32", "any", (None,)), ("203.0.113.9/32", "any", (None,)),
    ],
    "[ipv4-addr:value = '203.0.113.5' OR ipv6-addr:value = '2001:db8::5']": [
        ("203.0.113.5/32", "any", (None,)), ("2001:db8::5/128", "any", (None,)),
    ],
    "[ipv4-addr:value = '203.0.113.5'] OR [ipv4-addr:value = '203.0.113.0/24']": [
        ("203.0.113.5/32", "any", (None,)), ("203.0.113.0/24", "any", (None,)),
    ],
    "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.1' "
    "AND network-traffic:dst_port = 443 AND network-traffic:protocols[*] = 'tcp']": [
        ("192.0.2.1/32", "to", (Service(6, 443, 443),)),
    ],
    "[network-traffic:src_ref.value = '192.0.2.1' AND (network-traffic:dst_port = 22 OR "
    "network-traffic:dst_port > 60000)]": [
        ("192.0.2.1/32", "from", (Service(6, 22, 22), Service(17, 22, 22))),
        ("192.0.2.1/32", "from", (Service(6, 60001, 65535), Service(17, 60001, 65535))),
    ],
    "([ipv4-addr:value='203.0.113.5'])": [("203.0.113.5/32", "any", (None,))],
}  # fmt: skip


@pytest.mark.parametrize("pattern", TERMS)
def test_patterns_that_a_switch_can_match(pattern: str) -> None:
    found = [(str(t.network), t.direction, t.services()) for t in terms_of(pattern)]
    assert found == TERMS[pattern]


@pytest.mark.parametrize(
    "pattern",
    [
        "[ipv4-addr:value = '203.0.113.5' AND file:name = 'a']",
        "[ipv4-addr:value = '203.0.113.5'] AND [ipv4-addr:value = '203.0.113.6']",
        "[ipv4-addr:value = '203.0.113.5'] FOLLOWEDBY [ipv4-addr:value = '203.0.113.6']",
        "[ipv4-addr:value = '203.0.113.5'] REPEATS 5 TIMES",
        "[ipv4-addr:value = '203.0.113.5'] WITHIN 300 SECONDS",
        "[ipv4-addr:value != '203.0.113.5']",
        "[ipv4-addr:value NOT = '203.0.113.5']",
        "[ipv4-addr:value LIKE '203.0.113.%']",
        "[ipv4-addr:value = '2001:db8::1']",
        "[ipv4-addr:value = '203.0.113.5/24']",
        "[network-traffic:dst_port = 4444]",
        "[domain-name:value = 'evil.example']",
        "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port = 70000]",
        "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:src_port = 70]",
        "[network-traffic:dst_ref.value='192.0.2.1' AND network-traffic:src_ref.value='192.0.2.2']",
        "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:dst_port < 5 "
        "AND network-traffic:dst_port > 6]",
        "[ipv4-addr:value = '203.0.113.5'",
        "ipv4-addr:value = '203.0.113.5'",
        "", "[]", "[(", "'", "[a:b = 'c", "(" * 500,
        "[" + " AND ".join(f"network-traffic:dst_port IN ({','.join(map(str, range(200)))})"
                           for _ in range(3)) + "]",
    ],
)  # fmt: skip
def test_a_pattern_that_asks_for_more_is_not_used_in_part(pattern: str) -> None:
    with pytest.raises(UnusableError):
        terms_of(pattern)


@given(st.text(max_size=60) | st.text("[]()=' ANDOR:ipv4-adr.vlue0123<>!,", max_size=60))
def test_no_pattern_breaks_the_parser(pattern: str) -> None:
    try:
        terms_of(pattern)
    except UnusableError as problem:
        assert "\n" not in str(problem)


@given(
    st.text("0123456789./", max_size=18)
    | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?")
)
def test_an_entry_is_read_as_the_standard_library_reads_it(text: str) -> None:
    try:
        wanted: tuple[Prefix, ...] = (at(text),)
    except ValueError:
        wanted = ()
    try:
        found = prefixes_of(text)
    except ValueError:
        found = ()
    assert found == wanted


@given(st.binary(max_size=200), st.sampled_from(["cidr-list", "csv", "stix2"]))
def test_no_bytes_break_a_reader(data: bytes, form: str) -> None:
    try:
        read_feed(data, form)
    except FeedError as problem:
        assert "\n" not in str(problem)
