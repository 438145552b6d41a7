"""STIX 2.1 patterns, as far as a switch can act on them.

A switch matches addresses, protocols and ports; a pattern may ask for anything that a host
knows. Only a pattern whose *whole* condition a switch can match is used: leaving out the part
of an AND that it cannot match would block more than the indicator says. The grammar is that of
the STIX 2.1 standard, section 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from itertools import product

from policies.model import Network, Service
from response.feeds.entries import Direction

MAX_TERMS = 10_000
"""Alternatives of one pattern, after AND over OR is multiplied out."""

MAX_DEPTH = 50
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmp6": 58, "ipv6-icmp": 58}
_TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<sign><=|>=|!=|<>|==|=|<|>|\[|\]|\(|\)|,)"
    r"|(?P<number>-?\d+(?![\w.]))|(?P<word>[A-Za-z_][\w-]*(?::(?:[\w.-]|\[[\w*]+\]|'[^']*')+)?)"
    r"|(?P<other>\S))"
)


_PLAIN = re.compile(r"\s*\[\s*(ipv[46]-addr:value)\s*=\s*('[^'\\]*')\s*\]\s*")


class UnusableError(ValueError):
    """A pattern that no switch can match, or that is none: the reason in a few words."""


@dataclass(frozen=True, slots=True)
class Term:
    """One alternative of a pattern; what is None is not asked for."""

    network: Network | None = None
    direction: Direction = "any"
    protocols: frozenset[int] | None = None
    ports: tuple[int, int] | None = None

    def services(self) -> tuple[Service | None, ...]:
        """What the alternative narrows the address down to; ports without a protocol are
        those of TCP and of UDP."""
        if self.ports is None:
            found = sorted(self.protocols or ())
            return tuple(map(Service, found)) if found else (None,)
        protocols = {6, 17} if self.protocols is None else self.protocols & {6, 17, 132}
        return tuple(Service(proto, *self.ports) for proto in sorted(protocols))


def terms_of(pattern: str) -> tuple[Term, ...]:
    """The alternatives of a pattern, each with an address. Raises `UnusableError`."""
    plain = _PLAIN.fullmatch(pattern)
    if plain is not None:  # nearly every indicator, without taking it apart
        return (Term(_network(plain[1], plain[2])),)
    terms = tuple(dict.fromkeys(_Parser(pattern).pattern()))
    for term in terms:
        if term.network is None:
            raise UnusableError("it names no address")
        if not term.services():
            raise UnusableError("it contradicts itself")
    return terms


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._tokens = list(_scan(pattern))
        self._at = 0
        self._depth = 0

    def pattern(self) -> list[Term]:
        """Observations joined by OR: any of them is enough. Others need all of them, in time."""
        terms = self._observation()
        while self._keyword() == "OR":
            self._at += 1
            terms += self._observation()
        keyword = self._keyword()
        if keyword in ("AND", "FOLLOWEDBY"):
            raise UnusableError(f"observations joined by {keyword}")
        if keyword in ("WITHIN", "REPEATS", "START"):
            raise UnusableError(f"a pattern qualified by {keyword}")
        if keyword:
            raise UnusableError("it cannot be read")
        return terms

    def _observation(self) -> list[Term]:
        if self._keyword() == "(":
            terms = self._nested(self.inner_pattern)
        else:
            self._expect("[")
            terms = self._either()
            self._expect("]")
        return terms

    def inner_pattern(self) -> list[Term]:
        terms = self._observation()
        while self._keyword() == "OR":
            self._at += 1
            terms += self._observation()
        if self._keyword() in ("AND", "FOLLOWEDBY"):
            raise UnusableError(f"observations joined by {self._keyword()}")
        return terms

    def _nested(self, inside: object) -> list[Term]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnusableError("it is nested too deeply")
        self._expect("(")
        assert callable(inside)
        terms: list[Term] = inside()
        self._expect(")")
        self._depth -= 1
        return terms

    def _either(self) -> list[Term]:
        """Comparisons; AND binds tighter than OR."""
        terms = self._both()
        while self._keyword() == "OR":
            self._at += 1
            terms += self._both()
        return _bounded(terms)

    def _both(self) -> list[Term]:
        terms = self._comparison()
        while self._keyword() == "AND":
            self._at += 1
            other = self._comparison()
            if len(terms) * len(other) > MAX_TERMS:
                raise UnusableError(f"more than {MAX_TERMS} alternatives")
            terms = [merged for a, b in product(terms, other) if (merged := _and(a, b))]
            if not terms:
                raise UnusableError("it contradicts itself")
        return terms

    def _comparison(self) -> list[Term]:
        if self._keyword() == "(":
            return self._nested(self._either)
        path, operator = self._next(), self._next()
        if path in ("NOT", "EXISTS") or operator == "NOT":
            raise UnusableError("NOT and EXISTS cannot be matched")
        if operator == "IN":
            self._expect("(")
            values = [self._next()]
            while self._keyword() == ",":
                self._at += 1
                values.append(self._next())
            self._expect(")")
            return _bounded([term for value in values for term in _compare(path, "=", value)])
        return _compare(path, operator, self._next())

    def _keyword(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        keyword = self._keyword()
        if not keyword:
            raise UnusableError("it ends too early")
        self._at += 1
        return keyword

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise UnusableError("it cannot be read")


def _scan(pattern: str) -> Iterator[str]:
    at, end = 0, len(pattern.rstrip())
    while at < end:
        found = _TOKENS.match(pattern, at)
        if found is None or found["other"]:
            raise UnusableError("it cannot be read")
        at = found.end()
        yield found[0].strip()


def _bounded(terms: list[Term]) -> list[Term]:
    if len(terms) > MAX_TERMS:
        raise UnusableError(f"more than {MAX_TERMS} alternatives")
    return terms


_ENDS: dict[str, Direction] = {
    "ipv4-addr:value": "any",
    "ipv6-addr:value": "any",
    "network-traffic:dst_ref.value": "to",
    "network-traffic:src_ref.value": "from",
}
_NO_NARROWER = {
    "network-traffic:dst_ref.type": ("'ipv4-addr'", "'ipv6-addr'"),
    "network-traffic:src_ref.type": ("'ipv4-addr'", "'ipv6-addr'"),
}
"""What follows from the address that is asked for beside it."""


def _compare(path: str, operator: str, value: str) -> list[Term]:
    """One comparison as terms. Raises `UnusableError` for what a switch cannot match."""
    if path in _ENDS:
        if operator not in ("=", "==", "ISSUBSET"):
            raise UnusableError(f"{operator} on an address cannot be matched")
        return [Term(_network(path, value), _ENDS[path])]
    if path == "network-traffic:dst_port":
        return _ports(operator, value)
    if path.startswith("network-traffic:protocols[") and operator in ("=", "=="):
        keyword = value.strip("'").lower()
        if keyword in ("ipv4", "ipv6", "ip"):
            return [Term()]
        if keyword not in _PROTOCOLS:
            raise UnusableError(f"protocol {keyword[:20]} cannot be matched")
        return [Term(protocols=frozenset({_PROTOCOLS[keyword]}))]
    if value in _NO_NARROWER.get(path, ()) and operator in ("=", "=="):
        return [Term()]
    raise UnusableError(f"{path.partition(':')[0][:40]} cannot be matched by a switch")


def _network(path: str, value: str) -> Network:
    if not value.startswith("'"):
        raise UnusableError("an address is no text")
    try:
        network = ip_network(value[1:-1])
    except ValueError:
        raise UnusableError("no address or network, or host bits are set") from None
    if path.startswith("ipv") and int(path[3]) != network.version:
        raise UnusableError("an address of the other family")
    return network


def _ports(operator: str, value: str) -> list[Term]:
    digits = value[1:-1] if value.startswith("'") else value  # MISP writes ports as texts
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        raise UnusableError("no port")
    number = int(digits)
    ranges = {
        "=": [(number, number)], "==": [(number, number)],
        ">": [(number + 1, 0xFFFF)], ">=": [(number, 0xFFFF)],
        "<": [(0, number - 1)], "<=": [(0, number)],
        "!=": [(0, number - 1), (number + 1, 0xFFFF)],
        "<>": [(0, number - 1), (number + 1, 0xFFFF)],
    }  # fmt: skip
    found = [
        Term(ports=(low, high))
        for low, high in ranges.get(operator, ())
        if 0 <= low <= high <= 0xFFFF
    ]
    if not found:
        raise UnusableError("no port")
    return found


def _and(one: Term, other: Term) -> Term | None:
    """Both at once; None where no connection can be both."""
    if one.network is not None and other.network is not None:
        if one.direction != other.direction or "any" in (one.direction, other.direction):
            raise UnusableError("two addresses at once cannot be matched")
        if one.network != other.network:
            return None
    term = one if one.network is not None else replace(
        one, network=other.network, direction=other.direction
    )  # fmt: skip
    protocols = [each.protocols for each in (one, other) if each.protocols is not None]
    if protocols:
        # A connection's list of protocols holds several: one that a switch matches decides.
        common = frozenset.intersection(*protocols)
        if not common:
            return None
        term = replace(term, protocols=common)
    ports = [each.ports for each in (one, other) if each.ports is not None]
    if ports:
        low, high = max(low for low, _ in ports), min(high for _, high in ports)
        if low > high:
            return None
        term = replace(term, ports=(low, high))
    return term
