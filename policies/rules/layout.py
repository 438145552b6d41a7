"""Layout of tables, register bits and cookies: their single definition.

`docs/architecture.md` draws the tables. A packet's way through them:
guard, locality (where is the target?), arp, nd, track → listing (is an end on a
feed?) → connection → marks → identities → emergency → adaptive → policy → mode →
audit → observe → record → commit, forward; what asks for servers or routers ends
in stations. A new connection passes its port's meter on the way from commit.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from enum import IntEnum

from policies.rules.rule import Bits

LAYOUT_EPOCH = 2  # changes only when tables, registers or cookies change their meaning


class RuleTable(IntEnum):
    GUARD = 0
    LOCALITY = 1
    ARP = 2
    ND = 3
    TRACK = 4
    LISTING = 5
    CONNECTION = 6
    MARK_SOURCE = 7
    MARK_TARGET = 8
    SOURCE = 9
    TARGET = 10
    EMERGENCY = 11
    ADAPTIVE = 12
    POLICY = 13
    MODE = 14
    AUDIT = 15
    OBSERVE = 16
    COUNT = 17
    RECORD = 18
    COMMIT = 19
    FORWARD = 20
    REPORT = 21
    LISTED = 22
    STATIONS = 23
    METER = 24


class StatelessTable(IntEnum):
    """The tables of a switch without connection tracking and registers."""

    GUARD = 0
    LOCALITY = 1
    ARP = 2
    ND = 3
    SOURCE = 4
    TARGET = 5
    EMERGENCY = 6
    EMERGENCY_REPLY = 7
    ADAPTIVE = 8
    POLICY = 9
    REPLY = 10
    MODE = 11
    FORWARD = 12


class SmallTable(IntEnum):
    """The one table of the smallest switches."""

    ONLY = 0


class Category(IntEnum):
    """Second byte of a cookie: the kind of cause that its number names."""

    BASE = 1
    BINDING = 2
    IDENTITY = 3
    INTENT = 4
    DEFAULT = 5
    DECISION = 6
    FEED = 7
    FORWARD = 8
    COUNT = 9
    OWNER = 10  # the marker rule: which controller writes this switch's rules
    RETAINED = 12  # an intent that is gone, for its connections (not 11: see the reader)


class Reason(IntEnum):
    """Why a copy went to the controller (`REASON` bits of a packet-in)."""

    CONNECTION = 1
    DENIED = 2
    UNKNOWN_TARGET = 3
    GUARD = 4
    LINK = 5
    ADDRESSING = 6  # a server assigns an address
    PROBE = 7  # a host answers the controller
    PROGRESS = 8  # a TCP connection is answered, refused or closed
    FULL = 9  # a connection is denied because no more can be tracked
    CLIENT = 10  # a host asks a DHCP server; the packet itself waits for the controller's word


class Audience(IntEnum):
    """Recipients of multicast and broadcast (`AUDIENCE` bits)."""

    EVERYONE = 1
    SERVERS = 2  # that assign addresses
    ROUTERS = 3


class DecidedBits(IntEnum):
    """The verdict on a packet (`OUTCOME` bits)."""

    ALLOW = 1
    WOULD_DENY = 2
    OBSERVED = 3
    DENY = 4


# reg0: flags about the packet on its way
FROM_EDGE = Bits("reg0", 0, 1)  # came in on a host's port of this switch
TO_LOCAL = Bits("reg0", 1, 1)  # goes to a host on this switch
COUNTED = Bits("reg0", 2, 1)  # its connection has a counting rule already
REPLY = Bits("reg0", 3, 1)  # travels from responder to initiator
RELATED = Bits("reg0", 4, 1)  # an ICMP error about another connection
SOURCE_KNOWN = Bits("reg0", 5, 1)  # the initiator is in a segment
TARGET_KNOWN = Bits("reg0", 6, 1)
SOURCE_MODE = Bits("reg0", 8, 2)  # policies.model.Mode
TARGET_MODE = Bits("reg0", 10, 2)
OUTCOME = Bits("reg0", 12, 3)
BY_DECISION = Bits("reg0", 15, 1)  # the verdict is the adaptive tier's
QUARANTINED = Bits("reg0", 16, 1)  # an end is
ISOLATED = Bits("reg0", 17, 1)  # the initiator is, and the responder is not protected
LISTED = Bits("reg0", 18, 1)  # an end is on a feed that denies
AUDITED = Bits("reg0", 19, 1)  # an end is on a feed that only records
CHECKED = Bits("reg0", 20, 1)  # a DHCP client's message that the controller has looked at
REASON = Bits("reg0", 24, 4)
AUDIENCE = Bits("reg0", 28, 2)
FLOODED = Bits("reg0", 30, 1)  # goes along the tree of switches, to all of its audience

INTENT = Bits("reg1", 0, 32)  # number of the deciding intent, 0 for the default
DECISION = Bits("reg3", 0, 32)  # number of the machine decision on either end
FEED = Bits("reg4", 0, 32)  # number of the feed that lists an end

# The switch and port that the target is on, the same on every switch: reg6 and reg7 hold the
# datapath id. Only the forward table and "is it here?" differ between switches.
OWNER = Bits("xxreg1", 0, 64)
OWNER_REGS = ("reg6", "reg7")
OWNER_PORT = Bits("reg5", 0, 16)
VLAN = Bits("reg5", 16, 12)  # the tag that the target wants, 0 for none

# reg2: the service asked for, always the responder's
PROTO = Bits("reg2", 24, 8)
PORT = Bits("reg2", 0, 16)
ICMP_TYPE = Bits("reg2", 0, 8)

# The address that the table of feeds looks for, before the connection's ends are known.
LOOKUP_WIDE, LOOKUP_REGS = "xxreg2", ("reg8", "reg9", "reg10", "reg11")

# xxreg2 and xxreg3 hold the initiator's and the responder's address until the
# identity tables replace each by its identity: eight 16-bit fields, of segments or of lists.
SOURCE_REGS = ("reg8", "reg9", "reg10", "reg11")
TARGET_REGS = ("reg12", "reg13", "reg14", "reg15")
SOURCE_WIDE, TARGET_WIDE = "xxreg2", "xxreg3"
IDENTITY_FIELDS = 8
IDENTITY_FIELD_BITS = 16

# Metadata of a plain switch: flags, and both ends' segments in what bits are left.
PLAIN_FROM_EDGE = Bits("metadata", 0, 1)
STATELESS_DENIED = Bits("metadata", 1, 1)  # by the emergency tier, as a connection of its own
PLAIN_REPLY_DENIED = Bits("metadata", 2, 1)  # by the emergency tier, as a reply
PLAIN_SOURCE_KNOWN = Bits("metadata", 3, 1)
PLAIN_TARGET_KNOWN = Bits("metadata", 4, 1)
PLAIN_SOURCE_MODE = Bits("metadata", 5, 2)
PLAIN_TARGET_MODE = Bits("metadata", 7, 2)
STATELESS_SOURCE = Bits("metadata", 9, 27)
STATELESS_TARGET = Bits("metadata", 36, 27)
STATELESS_METER = 0xFF00  # for what goes to the controller of a plain switch

# Meters of rate limits: apart from those of ports, and each named by its decision.
LIMIT_METERS = 1 << 28
# Meters of new connections, one for each edge port. A connection that nobody answers is tracked for
# up to two minutes, and those of one port may take half of the table.
CONNECTION_METERS = 1 << 27
CONNECTION_TABLE = 262_144  # connections that a switch tracks, where the switches file names none
CONNECTION_SHARE, UNANSWERED_KEPT = 0.5, 120  # of the table; seconds

PROBE_MAC = 0x025350000001  # locally administered; what hosts answer the controller to

WHOLE_PACKET = 0x4000  # length of a copy that no frame reaches
# Bytes of a copy where its head is not enough: what a server assigns is read with its options
# (RFC 2131 has clients take 576 bytes), and a client's message is sent on as it came.
COPIED: Mapping[int, int] = {Reason.ADDRESSING: 600, Reason.CLIENT: WHOLE_PACKET}
REPORT_RATE = 2_000  # copies per second and edge port
REPORT_BURST = 2_000
COUNT_LIMIT = 60_000  # counting rules a switch may learn
COUNT_IDLE = 15  # seconds without a packet until a connection's counters are reported
RETAIN_IDLE = 3_600  # seconds without a packet until a connection of a retained intent is given up


def cookie(category: Category, number: int = 0) -> int:
    """epoch (8 bits) | category (8) | number (48)."""
    return LAYOUT_EPOCH << 56 | category << 48 | number & 0xFFFF_FFFF_FFFF


def limit_meter(decision: int) -> int:
    """The number of the meter that holds a decision's rate limit."""
    return LIMIT_METERS | decision & LIMIT_METERS - 1


def is_limit_meter(number: int) -> bool:
    return number & ~(LIMIT_METERS - 1) == LIMIT_METERS


def connection_meter(port: int) -> int:
    """The number of the meter of new connections from a port."""
    return CONNECTION_METERS | port


def is_connection_meter(number: int) -> bool:
    return number & ~(CONNECTION_METERS - 1) == CONNECTION_METERS


def connection_rate(table: int) -> int:
    """New connections a second from one port, for a switch that tracks so many."""
    return max(1, int(table * CONNECTION_SHARE / UNANSWERED_KEPT))


def category_of(value: int) -> int:
    return value >> 48 & 0xFF


def number_of(value: int) -> int:
    return value & 0xFFFF_FFFF_FFFF


def name_number(name: str) -> int:
    """A stable number from 1 to 2**32 - 1 for a name; two names may collide."""
    return zlib.crc32(name.encode()) or 1


def zone_of(switch: int) -> int:
    """The connection-tracking zone of a switch, 1 to 65,535.

    Every bridge of one ``ovs-vswitchd`` shares one connection table, so each
    datapath id needs a zone of its own.
    """
    folded = (switch ^ switch >> 16 ^ switch >> 32 ^ switch >> 48) & 0xFFFF
    return folded or 0xFFFF
