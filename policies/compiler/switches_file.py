"""Settings of an installation's switches: the file that ``--switches`` names.

    default: {kind: auto}
    switches:
      1: {kind: stateful, certificate: leaf1.example.net}
      2: {kind: stateless, table_sizes: {policy: 2000}}
      0x2a: {kind: single, table_size: 1000, port_masks: false}
    links: ["1:9=2:9"]

Read as strictly as a policy: every mistake with its place, all in one run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policies.compiler.targets import TABLES, Form, SwitchTarget
from policies.language import scalars
from policies.language.errors import Findings, PolicyError, split_lines
from policies.language.kinds import Key, Many, NameTable, Number, OneOf, ParsedText, Read, Record
from policies.language.nodes import Budget, Composer
from policies.model import NOWHERE, Source
from policies.rules.layout import CONNECTION_TABLE
from topology.ports import LAST_PORT, is_port
from topology.records import Link

MAX_BYTES = 1 << 20
AUTO = "auto"
_LINK = re.compile(r"(\w+):(\w+)=(\w+):(\w+)")


@dataclass(frozen=True, slots=True)
class SwitchSetting:
    """The settings of one switch; those left out are determined when it connects.

    ``table_size`` is in rules, for every table that ``table_sizes`` does not name.
    ``certificate`` is a name in the certificate without which nobody may be this switch.
    ``connection_table`` is how many connections it tracks: a port may begin as many a second as
    leave half of it free.
    """

    kind: SwitchTarget | None = None
    table_size: int | None = None
    table_sizes: Mapping[str, int] = field(default_factory=dict)
    port_masks: bool = True
    certificate: str | None = None
    connection_table: int = CONNECTION_TABLE
    source: Source = NOWHERE

    @property
    def target(self) -> SwitchTarget:
        """The kind of rules, where there is no switch to ask: those of Open vSwitch by default."""
        return self.kind or SwitchTarget.STATEFUL

    @property
    def form(self) -> Form:
        return Form(self.target, self.port_masks)

    def sizes(self, target: SwitchTarget, fallback: int | None = None) -> dict[int, int]:
        """Rules that each table of a kind holds, by table; ``fallback`` for tables without a
        setting."""
        size = fallback if self.table_size is None else self.table_size
        said = {table: self.table_sizes.get(table.name.lower(), size) for table in TABLES[target]}
        return {int(table): rules for table, rules in said.items() if rules is not None}


@dataclass(frozen=True, slots=True)
class Switches:
    """The settings of an installation; ``links`` are its cables, for commands without a network."""

    default: SwitchSetting = SwitchSetting()
    own: Mapping[int, SwitchSetting] = field(default_factory=dict)
    links: tuple[Link, ...] = ()

    def of(self, switch: int) -> SwitchSetting:
        """The settings of a switch, by its datapath id."""
        return self.own.get(switch, self.default)

    def forms(self, switches: Iterable[int]) -> dict[int, Form]:
        return {switch: self.of(switch).form for switch in switches}


def link(text: str) -> Link:
    """A cable from ``SWITCH:PORT=SWITCH:PORT``. Raises ValueError."""
    found = _LINK.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not a cable; write SWITCH:PORT=SWITCH:PORT, as 1:3=2:4")
    switch, port, peer, peer_port = (scalars.integer(part) for part in found.groups())
    if not (is_port(port) and is_port(peer_port)):
        raise ValueError(f"'{text}' names a port that is none: ports are 1 to {LAST_PORT}")
    if (switch, port) == (peer, peer_port):
        raise ValueError(f"'{text}' has both ends in one place")
    return Link(switch, port, peer, peer_port)


def datapath_id(text: str) -> str:
    """A datapath id in decimal, from one in any base. Raises ValueError."""
    try:
        number = scalars.integer(text)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 64:
        raise ValueError(f"'{text}' is not a switch: write its datapath id, as 1 or 0x2a")
    return str(number)


def _certificate(text: str) -> str:
    if not 0 < len(text) <= 253 or not text.isprintable() or text != text.strip():
        raise ValueError("a certificate's name is 1 to 253 printable characters")
    return text


_rules = Number(1, 2**32 - 1, "a number of rules")
_SETTINGS = (
    Key(
        "kind",
        OneOf({AUTO: None, **{target.value: target for target in SwitchTarget}}),
        "which rules it gets; auto: what it turns out to be",
        default=AUTO,
    ),
    Key("table_size", _rules, "rules that each of its tables holds"),
    Key(
        "table_sizes",
        NameTable(_rules, "sizes by table, as {policy: 2000}", str, "no table stands here"),
        "rules that single tables hold",
    ),
    Key(
        "port_masks",
        OneOf({"true": True, "false": False}),
        "whether it can match ports under a mask",
        default=True,
    ),
    Key(
        "connection_table",
        Number(1, 2**32 - 1, "a number of connections"),
        "connections that it tracks; half of them may be one port's, new ones are metered so",
        default=CONNECTION_TABLE,
    ),
)
ANY_SWITCH = Record("the settings of all switches", _SETTINGS)
SWITCH = Record(
    "a switch",
    (
        *_SETTINGS,
        Key(
            "certificate",
            ParsedText(_certificate, "the name in its certificate"),
            "name in the certificate that it must show over TLS",
        ),
    ),
)
DOCUMENT = Record(
    "a switches file",
    (
        Key("default", ANY_SWITCH, "what holds where a switch says nothing itself"),
        Key(
            "switches", NameTable(SWITCH, "switches by datapath id", datapath_id), "single switches"
        ),
        Key(
            "links",
            Many(ParsedText(link, "a cable like 1:3=2:4"), "a list of cables", single=True),
            "cables between switches, for commands that run without a network",
        ),
    ),
)


def read_switches(path: str | Path) -> Switches:
    """Settings from a file.

    Raises OSError where it cannot be read, PolicyError with every mistake in it.
    """
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    file_name, findings = os.fspath(path), Findings()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        text = ""
        line = data.count(b"\n", 0, problem.start) + 1
        findings.error("syntax", "not UTF-8", Source(file_name, line, 1))
    if len(data) > MAX_BYTES:
        text = ""
        findings.error("unreadable", "more than 1 MiB", Source(file_name, 1, 1))
    settings = _read(text, file_name, findings)
    if findings.errors:
        raise PolicyError(findings.sorted(), {file_name: split_lines(text)})
    return settings


def _read(text: str, file: str, findings: Findings) -> Switches:
    root = Composer(text, file, findings, Budget(MAX_BYTES)).compose()
    document = None if root is None else DOCUMENT.read(root, findings)
    if document is None:
        return Switches()
    default = _setting(document.part("default"), SwitchSetting(), findings)
    entries = document.part("switches")
    own = {
        int(number): _setting(entry, default, findings)
        for number, entry in ({} if entries is None else entries.value).items()
    }
    links = document.items("links")
    _refuse_shared_ports(links, findings)
    return Switches(default, own, tuple(each.value for each in links))


def _refuse_shared_ports(links: Iterable[Read], findings: Findings) -> None:
    """Report ports that have more than one cable."""
    seen: dict[tuple[int, int], Source] = {}
    for read in links:
        cable: Link = read.value
        ends = ((cable.switch, cable.port), (cable.peer_switch, cable.peer_port))
        for switch, port in ends:
            first = seen.setdefault((switch, port), read.source)
            if first is not read.source:
                message = f"port {port} of switch {switch} has a cable already; first at {first}"
                findings.error("duplicate-link", message, read.source, read.width)


def _setting(read: Read | None, default: SwitchSetting, findings: Findings) -> SwitchSetting:
    """A switch's own settings, and the default's where it leaves them out."""
    if read is None:
        return default
    kind = read.get("kind") if "kind" in read.value else default.kind
    sizes = read.part("table_sizes")
    given = {} if sizes is None else sizes.value
    known = {table.name.lower() for target in SwitchTarget for table in TABLES[target]}
    if kind is not None:
        known = {table.name.lower() for table in TABLES[kind]}
    for name, size in given.items():
        if name not in known and size is not None:
            what = f"a {kind.value} switch" if kind is not None else "any switch"
            hint = findings.did_you_mean(name, known) or f"known are {', '.join(sorted(known))}"
            message = f"'{name}' is no table of {what}"
            findings.error("dangling-table", message, size.source, size.width, hint)
    own = {name: size.value for name, size in given.items() if size is not None}
    return SwitchSetting(
        kind,
        read.get("table_size", default.table_size),
        own if sizes is not None else default.table_sizes,
        read.get("port_masks", default.port_masks),
        read.get("certificate"),
        read.get("connection_table", default.connection_table)
        if "connection_table" in read.value
        else default.connection_table,
        read.source,
    )
