"""What single words of a policy mean: addresses, services, durations, rates, times.

Every function takes the text as written and returns its value, or raises
ValueError with a message that ends the sentence ``<where>: error: …``.
"""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

from policies.language.errors import closest
from policies.model import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    PROTOCOL_NUMBERS,
    Address,
    Network,
    Service,
)
from topology.addresses import is_host_address

MAX_TTL = 65_535
ICMP_TYPES = {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "redirect": 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
}
ICMPV6_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "listener-query": 130,
    "listener-report": 131,
    "listener-done": 132,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbor-solicitation": 135,
    "neighbor-advertisement": 136,
    "redirect": 137,
    "listener-report-v2": 143,
}
_TYPES = {ICMP: ICMP_TYPES, ICMPV6: ICMPV6_TYPES}

MAX_NAME = 100
LABEL = re.compile(r"[^\x00-\x1f\x7f;=]{1,200}")
INTEGER = re.compile(r"0|[1-9][0-9]{0,19}|0[xX][0-9a-fA-F]{1,16}")
_NUMBER = re.compile(r"[0-9]{1,6}")
_MAC_BYTES = re.compile(r"[0-9a-f]{1,2}(?:([:-])[0-9a-f]{1,2})(?:\1[0-9a-f]{1,2}){4}")
_MAC_DIGITS = re.compile(
    r"[0-9a-f]{12}|[0-9a-f]{2}(?:\.[0-9a-f]{2}){5}|[0-9a-f]{4}([.:-])[0-9a-f]{4}\1[0-9a-f]{4}"
    r"|[0-9a-f]{6}([:-])[0-9a-f]{6}"
)
DURATION = re.compile(
    r"(?=[0-9])(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s?)?"
)
RATE = re.compile(r"([1-9][0-9]{0,8})\s*pps")


def name(text: str) -> str:
    """A name of a host, segment, intent or service; it ends up in logs, CSV files and counters."""
    fits = 0 < len(text) <= MAX_NAME and text.isprintable() and text == text.strip()
    if not fits or "," in text or ";" in text:
        shown = text[:MAX_NAME]
        raise ValueError(
            f"'{shown}' is not a name: 1 to {MAX_NAME} printable characters without ',' or ';'"
        )
    return text


def label(text: str) -> str:
    if not LABEL.fullmatch(text) or text != text.strip():
        raise ValueError(f"'{text}' is not a label: no ';', '=' or control characters, not empty")
    return text


def integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError(f"'{text}' is not a whole number")
    return int(text, 0)


def share(text: str) -> float:
    try:
        value = float(text) if len(text) < 40 else -1.0
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(f"'{text}' is not a share: a number above 0 and at most 1")
    return value


def mac(text: str) -> str:
    """A unicast MAC as ``aa:bb:cc:dd:ee:ff``, from any of the forms in which vendors write it."""
    low = text.lower()
    if _MAC_BYTES.fullmatch(low):
        digits = "".join(part.zfill(2) for part in re.split("[:-]", low))
    elif _MAC_DIGITS.fullmatch(low):
        digits = re.sub("[^0-9a-f]", "", low)
    else:
        raise ValueError(
            f"'{text}' is not a MAC address; write 00:00:00:00:01:11, 00-00-00-00-01-11, "
            "0000.0000.0111 or 000000000111"
        )
    if int(digits[1], 16) & 1 or not int(digits, 16):
        raise ValueError(f"'{text}' is not the MAC address of one host")
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def address(text: str) -> Address:
    """Any address that a packet may carry."""
    if "/" in text:
        raise ValueError(f"'{text}' is a network; an address is needed here")
    try:
        value = ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 or IPv6 address") from None
    if isinstance(value, IPv6Address) and value.scope_id:
        raise ValueError(f"'{text}' has a zone; write the address without '%{value.scope_id}'")
    if isinstance(value, IPv6Address) and value.ipv4_mapped:
        raise ValueError(f"'{text}' is IPv4 written as IPv6; write '{value.ipv4_mapped}'")
    return value


def host_address(text: str) -> Address:
    """An address that one host can have."""
    value = address(text)
    if not is_host_address(value):
        raise ValueError(f"'{text}' cannot be the address of a host")
    return value


def network(text: str) -> Network:
    """A prefix with no host bits set; a bare address is a prefix of full length."""
    try:
        wide = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text}' is not a network like 10.0.9.0/24 or fd00:1::/64") from None
    if "%" in text:
        raise ValueError(f"'{text}' has a zone; write the network without it")
    if "/" in text and ip_address(text.split("/")[0]) != wide.network_address:
        raise ValueError(f"'{text}' has host bits set; did you mean '{wide}'?")
    if isinstance(wide, IPv6Network) and (first := wide.network_address.ipv4_mapped) is not None:
        # Such packets are IPv4, so that an intent for them would match nothing: a deny fails open.
        right = f"{first}/{wide.prefixlen - 96}" if wide.prefixlen >= 96 else "the IPv4 network"
        raise ValueError(f"'{text}' is IPv4 written as IPv6; write '{right}'")
    return wide


def duration(text: str) -> int:
    """Seconds from ``90``, ``90s``, ``15m``, ``1h30m`` or ``2d``."""
    found = DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"'{text}' is not a duration like 90s, 15m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise ValueError(f"'{text}' is no time at all; a duration is at least 1s")
    return total


def ttl(text: str) -> int:
    total = duration(text)
    if total > MAX_TTL:
        raise ValueError(
            f"'{text}' is {total} s; a switch's own timer ends at {MAX_TTL} s (about 18h)"
        )
    return total


def rate(text: str) -> int:
    """Packets per second from ``100pps``."""
    found = RATE.fullmatch(text)
    if not found:
        raise ValueError(f"'{text}' is not a rate like 100pps")
    return int(found[1])


def moment(text: str) -> datetime:
    """A point in time with its zone, ISO 8601."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a time like 2027-01-31T00:00:00Z") from None
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"'{text}' has no time zone; write it like 2027-01-31T00:00:00Z")
    return value


def service(text: str) -> Service:
    """A literal service: ``tcp``, ``tcp/22``, ``icmp/echo-request``, ``ip/89`` or ``any``."""
    if text == "any":
        return Service()
    word, slash, rest = text.partition("/")
    if word == "ip":
        return _by_number(text, rest)
    proto = PROTOCOL_NUMBERS.get(word)
    if proto is None:
        raise ValueError(_unknown_protocol(text, word))
    if not slash:
        return Service(proto)
    top = 65_535 if proto in PORT_PROTOCOLS else 255
    low, high = _range(text, rest, proto, top)
    return Service(proto, low, high)


def is_literal(text: str) -> bool:
    """Whether a word can only be a literal service, not the name of one."""
    return "/" in text or text in PROTOCOL_NUMBERS or text in ("any", "ip")


def _by_number(text: str, rest: str) -> Service:
    if "/" in rest:
        raise ValueError(f"'{text}': a bare protocol number has no port; write tcp/… or ip/N")
    if not _NUMBER.fullmatch(rest) or int(rest) > 255:
        raise ValueError(f"'{text}' is not a protocol number like ip/89 (0 to 255)")
    return Service(int(rest))


_SPELLED = {
    "ipv6-icmp": "icmpv6", "icmp6": "icmpv6", "icmp-v6": "icmpv6", "ipv6icmp": "icmpv6",
    "icmpv4": "icmp", "all": "any", "*": "any",
    "igmp": "ip/2", "gre": "ip/47", "esp": "ip/50", "ah": "ip/51", "ospf": "ip/89",
    "eigrp": "ip/88", "pim": "ip/103", "vrrp": "ip/112", "ipip": "ip/4", "l2tp": "ip/115",
}  # fmt: skip
"""Other spellings of protocols; not understood, as a policy should read the same everywhere."""

_PORTS = re.compile(r"([0-9]{1,5})(-[0-9]{1,5})?")
_PORT_FIRST = re.compile(r"([0-9]{1,5}(?:-[0-9]{1,5})?)[/: _-]?(tcp|udp|sctp)")
_PORT_LAST = re.compile(r"(tcp|udp|sctp)[: _.-]?([0-9]{1,5}(?:-[0-9]{1,5})?)")


def service_meant(text: str) -> str | None:
    """The literal that a word which is no service was probably meant to be, or None."""
    word, slash, rest = text.lower().partition("/")
    if word in _SPELLED:
        meant = _SPELLED[word]
        return f"{meant}/{rest}" if slash and rest and "/" not in meant else meant
    if _PORTS.fullmatch(text):
        return f"tcp/{text}"
    if found := _PORT_FIRST.fullmatch(text.lower()):
        return f"{found[2]}/{found[1]}"
    if found := _PORT_LAST.fullmatch(text.lower()):
        return f"{found[1]}/{found[2]}"
    return None


def _unknown_protocol(text: str, word: str) -> str:
    known = [*PROTOCOL_NUMBERS, "ip", "any"]
    near = service_meant(text) or closest(word, known)
    hint = f"; did you mean '{near}'?" if near else f"; known are {', '.join(known)}"
    return f"'{text}': '{word}' is not a protocol{hint}"


def _range(text: str, rest: str, proto: int, top: int) -> tuple[int, int]:
    what = "port" if proto in PORT_PROTOCOLS else "type"
    low_word, dash, high_word = rest.partition("-")
    named = _TYPES.get(proto, {})
    if rest in named:
        return named[rest], named[rest]
    if not dash:
        high_word = low_word
    if not _NUMBER.fullmatch(low_word) or not _NUMBER.fullmatch(high_word):
        near = closest(rest, named)
        hint = f"; did you mean '{near}'?" if near else ""
        if what == "port" and rest[:1].isalpha():
            hint = f"; a service's name stands alone: '{rest}'"
        raise ValueError(f"'{text}': '{rest}' is not a {what} or a range of them{hint}")
    low, high = int(low_word), int(high_word)
    if max(low, high) > top:
        raise ValueError(f"'{text}': {max(low, high)} is out of range; the highest {what} is {top}")
    if low > high:
        raise ValueError(f"'{text}': the range is inverted; did you mean {high}-{low}?")
    return low, high
