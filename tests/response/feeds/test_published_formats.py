"""Lists in the forms in which they are published: what is in force, what is passed over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import FEED_FORMATS
from response.feeds.entries import FeedError, FeedReading
from response.feeds.read import _READERS, read_feed


def read(text: str, form: str) -> FeedReading:
    return read_feed(text.encode(), form)


def listed(reading: FeedReading) -> list[tuple[str, str | None]]:
    return [
        (entry.text, None if entry.service is None else str(entry.service))
        for entry in reading.entries
    ]


def test_every_format_of_the_language_has_a_reader() -> None:
    assert tuple(sorted(_READERS)) == tuple(sorted(FEED_FORMATS))


DSHIELD = """#
#  columns: start, end, subnet, attacks, name
Start\tEnd\tNetblock\tAttacks\tName
192.0.2.0\t192.0.2.255\t24\t99\tSOMEONE
198.51.100.64\t198.51.100.127\t26\t12\t
"""


def test_a_table_of_ranges_between_tabs() -> None:
    reading = read(DSHIELD, "csv")
    assert listed(reading) == [("192.0.2.0/24", None), ("198.51.100.64/26", None)]
    assert reading.bad.total == 0


def test_times_called_start_and_end_are_no_range_where_a_column_holds_addresses() -> None:
    text = "start,end,ip\n2026-01-01,2026-02-01,192.0.2.7\n"
    assert listed(read(text, "csv")) == [("192.0.2.7/32", None)]


def test_a_count_behind_a_tab_is_left_aside() -> None:
    assert listed(read("# IP\tlists\n192.0.2.7\t9\n203.0.113.1\t3\n", "cidr-list")) == [
        ("192.0.2.7/32", None),
        ("203.0.113.1/32", None),
    ]


@pytest.mark.parametrize("line", ["192.0.2.1 192.0.2.2", "192.0.2.1 evil.example", "0.0.0.0 a.b"])
def test_other_words_beside_an_address_are_not(line: str) -> None:
    assert read(f"192.0.2.0/24\n192.0.2.9\n{line}\n", "cidr-list").bad.total == 1


THREATFOX = """# "first_seen","ioc_id","ioc_value","ioc_type","confidence_level"
"2026-02-01 10:00:00", "7", "192.0.2.20:4444", "ip:port", "100"
"2026-02-01 10:00:00", "8", "bad.example", "domain", "50"
"2026-02-01 10:00:00", "9", "[2001:db8::9]:443", "ip:port", "75"
"""


def test_an_address_with_its_port_in_a_table() -> None:
    reading = read(THREATFOX, "csv")
    assert listed(reading) == [("192.0.2.20/32", "tcp/4444"), ("2001:db8::9/128", "tcp/443")]
    assert reading.passed_over.counts == {"it lists a domain": 1}
    assert [entry.confidence for entry in reading.entries] == [100, 75]


def test_a_protocol_beside_an_address_with_its_port() -> None:
    assert listed(read("ip,proto\n192.0.2.1:53,udp\n", "csv")) == [("192.0.2.1/32", "udp/53")]


MIXED = """Indicator type,Indicator,Description
IPv4,192.0.2.5,a
hostname,c2.bad.example,b
FileHash-SHA256,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,c
URL,https://192.0.2.5/x,d
email,someone@bad.example,e
CIDR,198.51.100.0/24,f
"""


def test_indicators_of_other_kinds_are_passed_over_by_name() -> None:
    reading = read(MIXED, "csv")
    assert listed(reading) == [("192.0.2.5/32", None), ("198.51.100.0/24", None)]
    assert reading.bad.total == 0
    assert reading.passed_over.counts == {
        "it lists a domain": 1,
        "it lists a file hash": 1,
        "it lists a URL": 1,
        "it lists a mail address": 1,
    }


MISP = """uuid,event_id,category,type,value,comment,to_ids,date
1,1,Network activity,ip-dst,192.0.2.30,,1,20260101
2,1,Network activity,ip-src,192.0.2.31,,1,20260101
3,1,Network activity,ip-dst|port,192.0.2.32|8443,,1,20260101
4,1,Network activity,ip-dst,192.0.2.33,not for detection,0,20260101
5,1,Payload delivery,md5,d41d8cd98f00b204e9800998ecf8427e,,1,20260101
"""


def test_misp_as_a_table() -> None:
    reading = read(MISP, "csv")
    assert [(e.text, e.direction, str(e.service)) for e in reading.entries] == [
        ("192.0.2.30/32", "to", "None"),
        ("192.0.2.31/32", "from", "None"),
        ("192.0.2.32/32", "to", "tcp/8443"),
    ]
    assert reading.passed_over.total == 2


@pytest.mark.parametrize("form", FEED_FORMATS)
@pytest.mark.parametrize(
    "page",
    [
        "<html><head><title>Sign in</title></head>\n<body>Please, sign in</body></html>\n",
        '{"error": "unauthorised"}',
        '{"message": "rate limit", "value": {"retry": 5}}',
        "",
    ],
)
def test_what_is_no_feed_stays_refused(page: str, form: str) -> None:
    if page == "" and form in ("cidr-list", "csv"):
        assert read(page, form).entries == []  # a list may be empty
        return
    try:
        reading = read(page, form)
    except FeedError:
        return
    # A JSON object of type bundle without objects is an empty bundle; nothing else is accepted.
    assert form == "stix2"
    assert reading.entries == []


JSON_FEEDS = {
    "spamhaus": '{"cidr":"192.0.2.0/25","sblid":"S1"}\n{"cidr":"2001:db8::/32","sblid":"S2"}\n'
    '{"type":"metadata","timestamp":1,"records":2}\n',
    "feodo": '[{"ip_address":"192.0.2.0","port":443,"status":"online","hostname":null}]',
    "threatfox": '{"12":[{"ioc_value":"192.0.2.9:81","ioc_type":"ip:port","confidence_level":50}],'
    '"13":[{"ioc_value":"bad.example","ioc_type":"domain","confidence_level":50}]}',
    "otx": '{"count":1,"results":[{"indicator":"192.0.2.1","type":"IPv4"},'
    '{"indicator":"bad.example","type":"hostname"}]}',
    "misp": '{"response":{"Attribute":[{"type":"ip-dst","value":"192.0.2.2","to_ids":true},'
    '{"type":"ip-dst","value":"192.0.2.3","to_ids":false}]}}',
}


@pytest.mark.parametrize(
    ("name", "expected", "passed_over"),
    [
        ("spamhaus", [("192.0.2.0/25", None), ("2001:db8::/32", None)], 1),
        ("feodo", [("192.0.2.0/32", "tcp/443")], 0),
        ("threatfox", [("192.0.2.9/32", "tcp/81")], 1),
        ("otx", [("192.0.2.1/32", None)], 1),
        ("misp", [("192.0.2.2/32", None)], 1),
    ],
)
def test_lists_in_json(name: str, expected: list[tuple[str, str | None]], passed_over: int) -> None:
    reading = read(JSON_FEEDS[name], "json")
    assert listed(reading) == expected
    assert reading.bad.total == 0
    assert reading.passed_over.total == passed_over


def test_an_empty_list_in_json_is_empty_and_a_list_in_another_format_is_not() -> None:
    assert read("[]", "json").entries == []
    for form in ("cidr-list", "csv", "stix2"):
        with pytest.raises(FeedError):
            read(JSON_FEEDS["spamhaus"], form)


@pytest.mark.parametrize("text", ["[" * 5_000, '{"a":' * 50 + "1" + "}" * 50, "7", '"x"', "{}["])
def test_json_that_is_no_feed_is_refused(text: str) -> None:
    with pytest.raises(FeedError):
        read(text, "json")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["ip", "cidr", "value", "start", "end", "x"]), inner)
    ),
)


@given(ANY_JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        read(json.dumps(value), "json")
    except FeedError:
        pass


@pytest.mark.parametrize(
    ("word", "expected"), [("High", 85), ("medium", 50), ("LOW", 15), ("80%", 80), ("12.6", 13)]
)
def test_a_confidence_in_words(word: str, expected: int) -> None:
    (entry,) = read(f"ip,confidence\n192.0.2.1,{word}\n", "csv").entries
    assert entry.confidence == expected


@pytest.mark.parametrize("word", ["certain", "101", "-1", "nan", "inf"])
def test_a_confidence_that_is_none_says_what_one_is(word: str) -> None:
    reading = read(f"ip,confidence\n192.0.2.1,50\n192.0.2.2,{word}\n", "csv")
    (note,) = reading.bad.first
    assert note.reason == "a confidence is 0 to 100, or low, medium or high"


def bundle(**indicator: object) -> str:
    thing = {
        "type": "indicator",
        "id": "indicator--1",
        "pattern": "[ipv4-addr:value = '192.0.2.8']",
        "valid_from": "2024-01-01T00:00:00Z",
    }
    return json.dumps({"type": "bundle", "objects": [{**thing, **indicator}]})


@pytest.mark.parametrize(
    ("words", "used"),
    [
        ({"labels": ["benign"]}, False),
        ({"labels": ["benign", "tlp:white"]}, False),
        ({"indicator_types": ["benign", "unknown"]}, False),
        ({"labels": ["malicious-activity"]}, True),
        ({"labels": ["benign", "malicious-activity"]}, True),
        ({"labels": ["tlp:white"]}, True),
        ({}, True),
    ],
)
def test_benign_in_either_version_of_stix(words: dict[str, object], used: bool) -> None:
    reading = read(bundle(**words), "stix2")
    assert len(reading.entries) == int(used)
    assert reading.passed_over.total == int(not used)


@pytest.mark.parametrize("port", ["'443'", "443"])
def test_a_port_in_quotes_is_the_port(port: str) -> None:
    pattern = (
        "[network-traffic:dst_ref.value = '192.0.2.8' AND network-traffic:protocols[*] = 'tcp' "
        f"AND network-traffic:dst_port IN ({port}, '8443')]"
    )
    reading = read(bundle(pattern=pattern), "stix2")
    assert [str(entry.service) for entry in reading.entries] == ["tcp/443", "tcp/8443"]


@pytest.mark.parametrize(
    "port", ["'https'", "''", "'-1'", "'70000'", "'٤٤٣'", "'" + "9" * 5000 + "'"]
)
def test_other_texts_are_no_port(port: str) -> None:
    pattern = f"[ipv4-addr:value = '192.0.2.8' AND network-traffic:dst_port = {port}]"
    reading = read(bundle(pattern=pattern), "stix2")
    assert reading.entries == []
    assert reading.passed_over.total == 1


def test_two_columns_of_addresses_without_names_are_not_guessed_at() -> None:
    with pytest.raises(FeedError, match="name what they are in a header"):
        read_feed(b"198.51.100.0\t198.51.100.255\t24\t1234\n", "csv")
