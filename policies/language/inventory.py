"""Hosts from a CSV inventory: one line a host, columns named as in the policy language.

``name,mac,ip,switch,port,vlan,labels``, in any order and any of them left out but ``name``; ``ip``,
``labels`` and ``routes`` hold several entries split by ``;``, a label is ``key=value``. A cell has
the same syntax as that key of a host in YAML.

Spreadsheets and address managers write such files in several ways: cells between commas,
semicolons, tabs or bars, a first line ``sep=;``, empty columns at the end, whole numbers with
``.0``, several addresses of a cell on lines of their own, an address with its network's length.
"""

from __future__ import annotations

import csv
import io
import re
from ipaddress import ip_interface

from policies.language import scalars
from policies.language.errors import Findings
from policies.language.grammar import HOST
from policies.language.kinds import Read
from policies.language.nodes import Mapping, Node, Scalar, Sequence
from policies.model import Source

MAX_CSV_BYTES = 64 * 1024 * 1024
SPLIT = re.compile(r";")
BETWEEN_ADDRESSES = re.compile(r"[;,\s]")  # none of which an address has
_SEPARATORS = ",;\t|"
_WHOLE = re.compile(r"([0-9]+)\.0+")
_NUMBERS = frozenset({"switch", "port", "vlan"})
_LISTS = frozenset({"ip", "routes", "serves"})
_COLUMNS = ("name", *(key.name for key in HOST.keys))


def read_inventory(
    text: str, file: str, findings: Findings
) -> list[tuple[str, Source, int, Read | None]]:
    """Each host's name, place, name's width, and value (None where invalid)."""
    if _control_character(text, file, findings):
        return []
    lines = text.splitlines()
    separator = _separator(lines)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] | None = None
    hosts: list[tuple[str, Source, int, Read | None]] = []
    done = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as problem:
            findings.error("csv", f"not CSV: {problem}", Source(file, done + 1, 1))
            break
        line, done = done + 1, rows.line_num
        if not any(cell.strip() for cell in row) or row[0].startswith("#"):
            continue
        if columns is None and lines[line - 1].lower() == f"sep={separator}":
            continue  # how a spreadsheet says what stands between its cells
        cells = _cells(row, lines[line - 1] if line <= len(lines) else "", file, line)
        if columns is None:
            columns = _header(cells, findings)
            if columns is None:
                return []
            continue
        host = _host(columns, cells, findings)
        if host is not None:
            hosts.append(host)
    if columns is None:
        findings.error("csv", "an inventory starts with a line of column names", Source(file, 1, 1))
    return hosts


def _separator(lines: list[str]) -> str:
    """What stands between cells: what the first line says, or what its names are split by."""
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if line.lower().startswith("sep=") and len(line) == 5:
            return line[4] if line[4] in _SEPARATORS else ","
        return max(_SEPARATORS, key=line.count)
    return ","


def _control_character(text: str, file: str, findings: Findings) -> bool:
    if text.isprintable():
        return False
    for number, line in enumerate(text.split("\n"), 1):
        plain = line.rstrip("\r").replace("\t", " ")
        if plain.isprintable():
            continue
        for column, character in enumerate(plain, 1):
            if ord(character) < 32 or ord(character) == 127:
                message = f"control character {ascii(character)} in an inventory"
                findings.error("csv", message, Source(file, number, column))
                return True
    return False


def _cells(row: list[str], line: str, file: str, number: int) -> list[Scalar]:
    """The row's cells where they stand: a quoted cell starts at its quote."""
    cells, column = [], 0
    quoted = '"' in line
    for cell in row:
        lead = len(cell) - len(cell.lstrip())
        cells.append(Scalar(cell.strip(), Source(file, number, column + lead + 1)))
        width = len(cell)
        if quoted and line[column : column + 1] == '"':
            width += 2 + cell.count('"')
        column += width + 1
    return cells


def _header(cells: list[Scalar], findings: Findings) -> list[str] | None:
    columns = [cell.text.lower() for cell in cells]
    good = True
    for index, cell in enumerate(cells):
        if not columns[index]:
            continue  # what a deleted column leaves behind
        if columns[index] not in _COLUMNS:
            hint = findings.did_you_mean(columns[index], _COLUMNS)
            hint = hint or f"known are {', '.join(_COLUMNS)}"
            message = f"unknown column '{cell.text}'"
            findings.error("unknown-key", message, cell.source, cell.width, hint)
            good = False
        elif columns[index] in columns[:index]:
            findings.error("duplicate-key", f"column '{cell.text}' stands twice", cell.source)
            good = False
    if "name" not in columns:
        findings.error("missing-key", "an inventory needs a column 'name'", cells[0].source)
        good = False
    return columns if good else None


def _host(
    columns: list[str], cells: list[Scalar], findings: Findings
) -> tuple[str, Source, int, Read | None] | None:
    for at, cell in enumerate(cells):
        if cell.text and not (at < len(columns) and columns[at]):
            message = f"'{cell.text}' stands in a column without a name"
            if at >= len(columns):
                message = f"{len(cells)} cells under {len(columns)} columns"
            findings.error("csv", message, cell.source, cell.width)
            return None
    given = {column: cell for column, cell in zip(columns, cells, strict=False) if column}
    named = given.pop("name", None)
    if named is None or not named.text:
        findings.error("name", "a host without a name", cells[0].source)
        return None
    try:
        name = scalars.name(named.text)
    except ValueError as problem:
        findings.error("name", str(problem), named.source, named.width)
        return None
    node = Mapping(named.source)
    for column, cell in given.items():
        if cell.text:
            value = _value(column, cell, findings)
            if value is not None:
                node.items[column] = (Scalar(column, cell.source), value)
    return name, named.source, named.width, HOST.read(node, findings)


def _value(column: str, cell: Scalar, findings: Findings) -> Node | None:
    if column == "ip":
        parts = _parts(cell, BETWEEN_ADDRESSES)
        return Sequence(cell.source, [_without_length(each) for each in parts])
    if column in _LISTS:
        return Sequence(cell.source, list(_parts(cell)))
    if column in _NUMBERS and (whole := _WHOLE.fullmatch(cell.text)):
        return Scalar(whole[1], cell.source)
    if column != "labels":
        return cell
    labels = Mapping(cell.source)
    for part in _parts(cell):
        key, equals, value = part.text.partition("=")
        if not equals:
            key, equals, value = part.text.partition(":")
        key, value = key.strip(), value.strip()
        if not equals or not value:
            message = f"'{part.text}' is not a label like role=web"
            findings.error("value", message, part.source, part.width)
        elif key in labels.items:
            message = f"label '{key}' stands twice"
            findings.error("duplicate-key", message, part.source, part.width)
        else:
            labels.items[key] = (Scalar(key, part.source), Scalar(value, part.source, plain=False))
    return labels if labels.items else None


def _without_length(part: Scalar) -> Scalar:
    """An address where ``10.0.1.11/24`` is written; a network stays one, which is refused."""
    try:
        found = ip_interface(part.text)
    except ValueError:
        return part
    if "/" not in part.text or found.ip == found.network.network_address:
        return part
    return Scalar(str(found.ip), part.source)


def _parts(cell: Scalar, between: re.Pattern[str] = SPLIT) -> list[Scalar]:
    """The entries of a cell that holds several, each with its own place."""
    parts, offset = [], 0
    for text in between.split(cell.text):
        word = text.strip()
        if word:
            start = cell.source.column + offset + text.index(word)
            parts.append(Scalar(word, Source(cell.source.file, cell.source.line, start)))
        offset += len(text) + 1
    return parts
