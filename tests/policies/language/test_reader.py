"""Reading: the whole grammar, and every rejection with its place."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from policies.language.errors import PolicyError, render
from policies.language.reader import ReadResult, load_policy, read_policy
from policies.model import Action, Adapt, Mode, Service, Tier

HEAD = "apiVersion: septum/v1\nkind: SegmentPolicy\ndefaults: {mode: enforce}\n"
HOSTS = """hosts:
  web1: {mac: "00:00:00:00:01:11", ip: [10.0.1.11], switch: 1, port: 3, labels: {role: web}}
  db1: {mac: "00:00:00:00:03:31", ip: [10.0.3.31], labels: {role: db}}
"""
SEGMENTS = """segments:
  web: {members: [{labels: {role: web}}]}
  db: {members: [{labels: {role: db}}]}
"""
WHOLE = """apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: shop, owner: netops, description: three-tier web shop}
hosts:
  web1: {mac: "00-00-00-00-01-11", ip: [10.0.1.11, "fd00:1::11"], switch: 1, port: 3,
         labels: {app: shop, role: web}}
  db1:  {mac: 0000.0000.0331, ip: 10.0.3.31, switch: 0x2, port: 1, vlan: 30, labels: {role: db}}
  gw:   {mac: 00:00:00:00:00:01, ip: [10.0.0.1], switch: 1, port: 1, routes: [0.0.0.0/0, "::/0"],
         routed: true}
segments:
  web: {description: public, members: [{labels: {app: shop, role: web}}], mode: enforce, adapt: off}
  db: {members: [{labels: {role: db}}, {host: gw}], mode: observe, adapt: auto}
  plant:
    members: [{cidr: 10.0.9.0/24, except: [10.0.9.1/32]}, {switch: 3, port: 7}]
services:
  postgres: [tcp/5432]
  many: [udp/53, sctp/9000-9010, icmp, icmpv6/echo-request, ip/89, tcp]
intents:
  - name: web-reads-db
    from: web
    to: [db, unknown]
    services: [postgres, tcp/22, postgres]
    action: deny
    tier: security
    established: keep
    log: true
    expires: 2027-01-31T00:00:00Z
    description: why
  - {name: short, from: any, to: plant, services: many}
defaults: {action: allow, mode: audit, infrastructure: {arp: deny}}
adaptive:
  actions: [alert, isolate]
  protected: [{host: gw}]
  max_hosts: 3
  max_share: 0.25
  ttl: 1h30m
  rate_limit: 250pps
feeds:
  - {name: drop, path: feeds/drop.txt, format: cidr-list, mode: enforce, refresh: 1d,
     min_confidence: 50}
  - {name: intel, path: "https://example.net/x.json", format: stix2}
tests:
  - {from: web1, to: db1, service: postgres, expect: allow}
  - {from: 192.0.2.1, to: db1, service: udp/53, expect: deny}
"""


def read(tmp_path: Path, text: str) -> ReadResult:
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return read_policy([file])


def found(result: ReadResult, code: str) -> list[tuple[int, int, str]]:
    """Line, column and text of the diagnostics of one kind."""
    return [(d.source.line, d.source.column, str(d)) for d in result.diagnostics if d.code == code]


def test_every_key_of_the_language_arrives(tmp_path: Path) -> None:
    result = read(tmp_path, WHOLE)
    assert result.diagnostics == ()
    policy = result.policy
    assert policy is not None
    assert policy.name == "shop"
    web1, db1, gw = policy.hosts
    assert web1.mac == "00:00:00:00:01:11"
    assert web1.ips == (ip_address("10.0.1.11"), ip_address("fd00:1::11"))
    assert web1.labels == (("app", "shop"), ("role", "web"))
    assert (db1.mac, db1.switch, db1.port, db1.vlan) == ("00:00:00:00:03:31", 2, 1, 30)
    assert gw.routes == (ip_network("0.0.0.0/0"), ip_network("::/0")) and gw.routed
    web, db, plant = policy.segments
    assert (web.mode, web.adapt, web.description) == (Mode.ENFORCE, Adapt.OFF, "public")
    assert (db.mode, db.adapt) == (Mode.OBSERVE, Adapt.AUTO)
    assert (plant.mode, plant.adapt) == (None, None)
    assert plant.members[0].excepts == (ip_network("10.0.9.1/32"),)
    assert (plant.members[1].switch, plant.members[1].port) == (3, 7)
    first, second = policy.intents
    assert first.services == (Service(6, 5432, 5432), Service(6, 22, 22))
    assert first.targets == ("db", "unknown")
    assert (first.action, first.tier) == (Action.DENY, Tier.SECURITY)
    assert first.keep_established and first.log
    assert first.expires == datetime(2027, 1, 31, tzinfo=UTC)
    assert (second.action, second.tier, second.expires) == (Action.ALLOW, Tier.APPLICATION, None)
    assert second.services == (
        Service(17, 53, 53), Service(132, 9000, 9010), Service(1), Service(58, 128, 128),
        Service(89), Service(6),
    )  # fmt: skip
    assert policy.defaults.action is Action.ALLOW
    assert policy.defaults.infrastructure.arp is Action.DENY
    assert policy.defaults.infrastructure.nd is Action.ALLOW
    envelope = policy.envelope
    assert envelope is not None
    assert (envelope.actions, envelope.max_hosts) == (("alert", "isolate"), 3)
    assert (envelope.max_share, envelope.ttl, envelope.rate_limit) == (0.25, 5400, 250)
    drop, intel = policy.feeds
    assert drop.path == str(tmp_path / "feeds/drop.txt") and drop.refresh == 86_400
    assert intel.path == "https://example.net/x.json" and intel.mode is Mode.AUDIT
    assert [(t.origin, t.target, t.expect) for t in policy.tests] == [
        ("web1", "db1", Action.ALLOW),
        ("192.0.2.1", "db1", Action.DENY),
    ]


REJECTED = [
    ("unknown-key", HEAD + "segmnts: {}\n", 4, 1, "did you mean 'segments'?"),
    ("unknown-key", HEAD + "hosts: {a: {ip: 10.0.0.1, prt: 3}}\n", 4, 27, "did you mean 'port'?"),
    (
        "dangling-segment",
        HEAD + HOSTS + SEGMENTS + "intents:\n- {name: i, from: wbe, to: db, services: any}\n",
        11, 19, "did you mean 'web'?",
    ),
    (
        "dangling-service",
        HEAD + "services: {postgres: tcp/5432}\n"
        "intents:\n- {name: i, from: any, to: any, services: [postgre]}\n",
        6, 44, "did you mean 'postgres'?",
    ),
    ("dangling-host", HEAD + HOSTS + "segments: {s: {members: [{host: web2}]}}\n", 7, 33, "web1"),
    (
        "dangling-label",
        HEAD + HOSTS + "segments: {s: {members: [{labels: {rol: web}}]}}\n",
        7, 36, "did you mean 'role'?",
    ),
    (
        "dangling-host",
        HEAD + HOSTS + "tests: [{from: web9, to: db1, service: tcp/1, expect: deny}]\n",
        7, 16, "web1",
    ),
    (
        "duplicate-name",
        HEAD + "intents:\n- {name: i, from: any, to: any, services: any}\n"
        "- {name: i, from: any, to: any, services: tcp}\n",
        6, 10, "first at",
    ),
    ("duplicate-key", HEAD + "hosts:\n  a: {ip: 10.0.0.1}\n  a: {ip: 10.0.0.2}\n", 6, 3, "line 5"),
    ("duplicate-key", HEAD + "hosts: {a: {ip: 10.0.0.1, ip: 10.0.0.2}}\n", 4, 27, "'ip'"),
    (
        "duplicate-address",
        HEAD + HOSTS + '  w: {mac: "00:00:00:00:01:11"}\n',
        7, 12, "bound to 'web1'",
    ),
    ("duplicate-address", HEAD + HOSTS + "  w: {ip: [10.0.9.9, 10.0.1.11]}\n", 7, 22, "web1"),
    ("empty", HEAD + "segments: {s: {members: [{}]}}\n", 4, 26, "any"),
    ("empty", HEAD + "intents: [{name: i, from: [], to: any, services: any}]\n", 4, 27, "`any`"),
    ("value", HEAD + "services: {s: [ip/89/5]}\n", 4, 16, "no port"),
    ("value", HEAD + "services: {s: [gre/5]}\n", 4, 16, "ip/47"),
    ("value", HEAD + "services: {s: [tcp/90-80]}\n", 4, 16, "80-90"),
    ("value", HEAD + "services: {s: [tcp/65536]}\n", 4, 16, "out of range"),
    ("value", HEAD + "services: {s: [icmp/256]}\n", 4, 16, "out of range"),
    ("value", HEAD + "services: {s: [icmp/ech-request]}\n", 4, 16, "did you mean 'echo-request'"),
    ("value", HEAD + "services: {s: [tpc/80]}\n", 4, 16, "did you mean 'tcp'"),
    ("value", HEAD + "segments: {s: {members: [{cidr: 10.0.0.0/33}]}}\n", 4, 33, "network"),
    ("value", HEAD + "segments: {s: {members: [{cidr: 10.0.0.1/24}]}}\n", 4, 33, "10.0.0.0/24"),
    (
        "except",
        HEAD + "segments: {s: {members: [{cidr: 10.0.0.0/24, except: [10.0.1.0/32]}]}}\n",
        4, 55, "outside 10.0.0.0/24",
    ),
    (
        "except",
        HEAD + 'segments: {s: {members: [{cidr: 10.0.0.0/24, except: ["fd00::/64"]}]}}\n',
        4, 55, "outside",
    ),
    (
        "missing-key",
        HEAD + "segments: {s: {members: [{host: x, except: [10.0.1.0/32]}]}}\n",
        4, 36, "needs 'cidr'",
    ),
    ("missing-key", HEAD + "hosts: {h: {switch: 1}}\n", 4, 13, "needs 'port'"),
    (
        "value",
        HEAD + "intents: [{name: i, from: any, to: any, services: any,\n"
        "  expires: 2027-01-31T00:00:00}]\n",
        5, 12, "time zone",
    ),
    ("value", HEAD + "adaptive: {ttl: 65536}\n", 4, 17, "65535"),
    ("value", HEAD + "adaptive: {max_share: 1.5}\n", 4, 23, "share"),
    ("alias-loop", HEAD + "hosts: &h {a: *h}\n", 4, 15, "contains itself"),
    ("alias", HEAD + "hosts: *nowhere\n", 4, 8, "nowhere"),
    ("tag", HEAD + "metadata: {name: !!python/object:os.system x}\n", 4, 18, "no meaning"),
    ("documents", HEAD + "---\nkind: SegmentPolicy\n", 4, 1, "second"),
    ("syntax", HEAD + "hosts: [\n", 5, 1, "not YAML"),
    ("type", HEAD + "hosts: [a, b]\n", 4, 8, "a list"),
    ("type", HEAD + "hosts: {h: {switch: one, port: 2}}\n", 4, 21, "'one'"),
    ("type", HEAD + 'hosts: {h: {switch: "1", port: 2}}\n', 4, 21, "datapath"),
    ("range", HEAD + "hosts: {h: {vlan: 4095}}\n", 4, 19, "1 to 4094"),
    ("value", HEAD + "hosts: {h: {mac: 01:00:5e:00:00:01}}\n", 4, 18, "one host"),
    ("value", HEAD + "hosts: {h: {ip: 224.0.0.1}}\n", 4, 17, "host"),
    ("value", HEAD + 'hosts: {h: {ip: "fe80::1%eth0"}}\n', 4, 17, "zone"),
    ("value", "apiVersion: septum/v2\nkind: SegmentPolicy\n", 1, 13, "septum/v1"),
    ("missing-key", "kind: SegmentPolicy\n", 1, 1, "apiVersion"),
    ("name", HEAD + "segments: {any: {members: [{host: web1}]}}\n", 4, 12, "any"),
    ("name", HEAD + "services: {tcp: [tcp/1]}\n", 4, 12, "literal"),
    ("include", HEAD + "include: [/etc/hosts.yaml]\n", 4, 11, "absolute"),
    ("unreadable", HEAD + "include: [nowhere.yaml]\n", 4, 11, "does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "line", "column", "words"), REJECTED)
def test_what_is_rejected_says_where_and_what_instead(
    tmp_path: Path, code: str, text: str, line: int, column: int, words: str
) -> None:
    result = read(tmp_path, text)
    assert result.policy is None
    hits = [
        text for at, column_at, text in found(result, code) if (at, column_at) == (line, column)
    ]
    assert hits, [str(d) for d in result.diagnostics]
    assert words in hits[0]


def test_all_errors_come_in_one_run(tmp_path: Path) -> None:
    text = HEAD + (
        "hosts: {h: {vlan: 0, ip: x}}\n"
        "segments: {s: {members: [{}, {cidr: 10.0.0.1/8}], mode: on}}\n"
        "intents:\n"
        "- {name: i, from: wbe, to: [], services: [tcp/9-1, ip/300, foo]}\n"
        "- {from: s, to: s, service: tcp/1}\n"
        "bogus: 1\n"
    )
    errors = read(tmp_path, text).errors
    assert [(e.source.line, e.code) for e in errors] == [
        (4, "range"), (4, "value"),
        (5, "empty"), (5, "value"), (5, "value"),
        (7, "dangling-segment"), (7, "empty"), (7, "value"), (7, "value"), (7, "dangling-service"),
        (8, "missing-key"), (8, "missing-key"), (8, "unknown-key"),
        (9, "unknown-key"),
    ]  # fmt: skip


def test_a_diagnostic_shows_the_line_and_points_at_the_word(tmp_path: Path) -> None:
    result = read(tmp_path, HEAD + "hosts:\n\tx: 1\n")
    assert "not YAML" in str(result.diagnostics[0])
    result = read(tmp_path, HEAD + "bogus: 1\n")
    lines = render(result.diagnostics[0], result.texts).splitlines()
    assert lines[1:] == ["    4 | bogus: 1", "      | ^^^^^"]


def test_load_policy_raises_with_everything(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + "a: 1\nb: 2\n")
    with pytest.raises(PolicyError) as raised:
        load_policy([file])
    assert len(raised.value.diagnostics) == 2
    assert f"{file}:4:1: error: unknown key 'a'" in str(raised.value)


def test_a_mode_left_out_is_audit_and_a_warning(tmp_path: Path) -> None:
    result = read(tmp_path, "apiVersion: septum/v1\nkind: SegmentPolicy\n")
    assert result.policy is not None and result.policy.defaults.mode is Mode.AUDIT
    assert [d.code for d in result.diagnostics] == ["default-mode"]


def test_merge_keys_and_anchors(tmp_path: Path) -> None:
    text = HEAD + (
        "segments:\n"
        "  a: &base {mode: enforce, members: &everyone [{cidr: 10.0.0.0/8}]}\n"
        "  b: {<<: *base, mode: audit}\n"
        "  c: {members: *everyone}\n"
    )
    policy = read(tmp_path, text).policy
    assert policy is not None
    a, b, c = policy.segments
    assert [s.members[0].cidr for s in (a, b, c)] == [ip_network("10.0.0.0/8")] * 3
    assert (a.mode, b.mode, c.mode) == (Mode.ENFORCE, Mode.AUDIT, None)


def test_the_same_address_in_two_vlans_is_no_duplicate(tmp_path: Path) -> None:
    text = HEAD + "hosts: {a: {ip: 10.0.0.1, vlan: 1}, b: {ip: 10.0.0.1, vlan: 2}}\n"
    assert read(tmp_path, text).policy is not None


def test_several_hosts_on_one_port_are_fine(tmp_path: Path) -> None:
    text = HEAD + "hosts: {a: {switch: 1, port: 2}, b: {switch: 1, port: 2}}\n"
    assert read(tmp_path, text).policy is not None


# Several files


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(text)


def test_a_directory_is_one_policy(tmp_path: Path) -> None:
    write(tmp_path, a__yaml=HEAD + SEGMENTS, b__yml=HOSTS, c__txt="not ours")
    policy = load_policy([tmp_path])
    assert [h.name for h in policy.hosts] == ["web1", "db1"]
    assert policy.files == (str(tmp_path / "a.yaml"), str(tmp_path / "b.yml"))


def test_names_must_be_unique_over_files(tmp_path: Path) -> None:
    write(tmp_path, a__yaml=HEAD + HOSTS, b__yaml="hosts: {web1: {ip: 10.9.9.9}}\n")
    (error,) = read_policy([tmp_path]).errors
    assert error.code == "duplicate-name"
    assert str(error).startswith(f"{tmp_path}/b.yaml:1:9: error: host 'web1' is defined twice")
    write(tmp_path, b__yaml="defaults: {mode: audit}\n")
    (error,) = read_policy([tmp_path]).errors
    assert "'defaults.mode' is set in two files" in error.message


def test_includes_are_relative_read_once_and_may_meet(tmp_path: Path) -> None:
    write(tmp_path, main__yaml=HEAD + "include: [sub/a.yaml, sub/b.yaml]\n" + SEGMENTS)
    write(tmp_path / "sub", a__yaml="include: b.yaml\n", b__yaml="include: a.yaml\n" + HOSTS)
    policy = load_policy([tmp_path / "main.yaml"])
    assert len(policy.hosts) == 2 and len(policy.files) == 3


def test_a_missing_include_does_not_start_an_avalanche(tmp_path: Path) -> None:
    text = (
        HEAD
        + "include: hosts.csv\n"
        + SEGMENTS
        + "tests:\n- {from: a, to: b, service: tcp/1, expect: deny}\n"
    )
    assert [d.code for d in read(tmp_path, text).errors] == ["unreadable"]


def test_an_inventory_in_csv(tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text(
        "\ufeffname,mac,ip,switch,port,vlan,labels\r\n"
        '"web1",00:00:00:00:01:11,10.0.1.11; fd00:1::11,1,3,,app=shop;role=web\r\n'
        "\r\n# a comment\r\n"
        "db1,,,2,1,30,role=db\r\n",
        encoding="utf-8",
    )
    policy = read(tmp_path, HEAD + "include: [hosts.csv]\n" + SEGMENTS).policy
    assert policy is not None
    web1, db1 = policy.hosts
    assert web1.ips == (ip_address("10.0.1.11"), ip_address("fd00:1::11"))
    assert web1.labels == (("app", "shop"), ("role", "web"))
    assert (db1.mac, db1.ips, db1.vlan, db1.source.line) == (None, (), 30, 5)


@pytest.mark.parametrize(
    ("rows", "line", "column", "words"),
    [
        ("name,mac,adress\n", 1, 10, "unknown column 'adress'"),
        ("mac,ip\n", 1, 1, "'name'"),
        ("", 1, 1, "column names"),
        ("name,ip\nweb1,10.0.0.1;10.0.0.300\n", 2, 15, "10.0.0.300"),
        ('name,ip\n"web1", 10.0.0.300\n', 2, 9, "10.0.0.300"),
        ("name,ip,port\nweb1,10.0.0.1,2\n", 2, 15, "needs 'switch'"),
        ("name,labels\nweb1,role\n", 2, 6, "not a label"),
        ("name,ip\nweb1,10.0.0.1,9\n", 2, 15, "3 cells under 2 columns"),
        ("name,ip\n,10.0.0.1\n", 2, 1, "without a name"),
        ("name\nweb1\nweb1\n", 3, 1, "defined twice"),
        ('name\n"web1\n', 2, 1, "not CSV"),
        ("name\nw\0b\n", 2, 2, "control character"),
    ],
)
def test_mistakes_in_an_inventory_have_places_too(
    tmp_path: Path, rows: str, line: int, column: int, words: str
) -> None:
    (tmp_path / "hosts.csv").write_text(rows)
    errors = read(tmp_path, HEAD + "include: [hosts.csv]\n").errors
    places = [(e.source.line, e.source.column) for e in errors if words in e.message]
    assert places == [(line, column)], [str(e) for e in errors]
    assert all(e.source.file.endswith("hosts.csv") for e in errors)


@pytest.mark.parametrize(
    "text",
    [
        'name;ip;port;switch\nh1;"10.0.1.1;fd00::1";3;1\n',
        'sep=;\nname;ip;port;switch\nh1;"10.0.1.1;fd00::1";3;1\n',
        "name|ip|port|switch\nh1|10.0.1.1;fd00::1|3|1\n",
        'name,ip,port,switch\nh1,"10.0.1.1\nfd00::1",3,1\n',
        'name,ip,port,switch\nh1,"10.0.1.1/24, fd00::1/64",3,1\n',
        "name\tip\tport\tswitch\nh1\t10.0.1.1;fd00::1\t3\t1\n",
        "# exported\nname,ip,port,switch,,\nh1,10.0.1.1;fd00::1,3.0,1.00,,\n",
        "name,ip,port,switch\nh1,10.0.1.1;fd00::1,3,1,,,\n",
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_inventory_as_a_spreadsheet_writes_it(tmp_path: Path, text: str, coding: str) -> None:
    (tmp_path / "hosts.csv").write_text(text, encoding=coding)
    policy = read(tmp_path, HEAD + "include: [hosts.csv]\n").policy
    assert policy is not None
    (host,) = policy.hosts
    assert host.ips == (ip_address("10.0.1.1"), ip_address("fd00::1"))
    assert (host.switch, host.port) == (1, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,,ip\nh1,x,10.0.0.1\n", "'x' stands in a column without a name"),
        ("name,ip,switch,port\nh1,10.0.0.1,1,3.5\n", "a switch port"),
        ("name,ip,switch,port\nh1,10.0.0.1,1,3,,x\n", "6 cells under 4 columns"),
    ],
)
def test_what_a_spreadsheet_did_not_mean_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "hosts.csv").write_text(text)
    (error,) = read(tmp_path, HEAD + "include: [hosts.csv]\n").errors
    assert words in error.message


def test_a_link_to_nothing_in_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(HEAD + SEGMENTS)
    (tmp_path / "deny.yaml").symlink_to("absent/deny.yaml")
    (error,) = read_policy([tmp_path]).errors
    assert "deny.yaml' is a link to 'absent/deny.yaml', which does not exist" in error.message


def test_a_pipe_in_a_directory_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(HEAD + SEGMENTS)
    os.mkfifo(tmp_path / "deny.yaml")
    (error,) = read_policy([tmp_path]).errors
    assert "deny.yaml' is not a file" in error.message


@pytest.mark.parametrize(
    ("text", "line", "column", "name"),
    [
        ("hosts:\n\u00a0\u00a0a: {}\n  b: {}\n", 3, 1, "no-break space (U+00A0)"),
        ("hosts:\n\ta: {}\n", 3, 1, "a tab as indentation"),
        ("metadata: {name: \u201cx\u201d}\nhosts: [\n", 2, 18, "left double quotation"),
        ("hosts: {a: {}\uff0c b: {}\n", 2, 14, "fullwidth comma (U+FF0C)"),
        ("# a \u00a0 comment\nhosts: {a: {}\n\u2003b: [\n", 4, 1, "em space (U+2003)"),
    ],
)  # fmt: skip
def test_an_odd_character_is_named_where_it_stands(
    tmp_path: Path, text: str, line: int, column: int, name: str
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("apiVersion: septum/v1\n" + text, encoding="utf-8")
    (error,) = read_policy([file]).errors
    assert name in error.message
    assert (error.source.line, error.source.column) == (line, column)


def test_odd_characters_in_texts_that_are_read_are_no_mistake(tmp_path: Path) -> None:
    text = HEAD + "metadata: {name: p, description: \u201cL\u2019\u00e9tage\u00a0\u2013 2\u201d}\n"
    assert read_policy_text(tmp_path, text).errors == ()


def read_policy_text(tmp_path: Path, text: str) -> ReadResult:
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return read_policy([file])
