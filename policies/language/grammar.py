"""The policy language, key by key: the single definition of its names, ranges and defaults.

The reader, the error messages, the JSON Schema and the CSV inventory's columns
all come from here. To add an intent key: add a `Key` to ``INTENT``, a field to
`policies.model.Intent`, and carry it over in `policies.language.resolve`.
"""

from __future__ import annotations

from typing import Any

from policies.language import scalars
from policies.language.kinds import (
    Key,
    Many,
    NameTable,
    Number,
    OneOf,
    ParsedText,
    Record,
    TextOrRecord,
    ValueKind,
)
from policies.model import (
    ADVERTISEMENTS,
    DHCP,
    FEED_FORMATS,
    HELPERS,
    INTENT_TIERS,
    Action,
    Adapt,
    Mode,
)
from topology.ports import LAST_PORT

API_VERSION = "septum/v1"
KIND = "SegmentPolicy"

TEXT: Any = {"type": ["string", "number", "boolean"]}
_flag = OneOf({"true": True, "false": False})
_name = ParsedText(scalars.name, "a name", {"type": "string", "minLength": 1, "maxLength": 100})
_text = ParsedText(str, "a text", TEXT)
_mode = OneOf({mode.name.lower(): mode for mode in Mode})
_adapt = OneOf({adapt.name.lower(): adapt for adapt in Adapt})
_action = OneOf({action.value: action for action in Action})
_tier = OneOf({tier.value: tier for tier in INTENT_TIERS})
_label = ParsedText(scalars.label, "a label", TEXT)
_network = ParsedText(scalars.network, "a network like 10.0.9.0/24", {"type": "string"})
_duration = ParsedText(scalars.duration, "a duration like 15m", {"type": ["string", "integer"]})
_share = ParsedText(
    scalars.share,
    "a share like 0.2",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    plain=True,
)
_switch = Number(1, 2**64 - 1, "a switch (datapath id)")
_port = Number(1, LAST_PORT, "a switch port")
_labels = NameTable(_label, "labels like {role: web}", scalars.label, "no labels stand here")

HOST = Record(
    "a host",
    (
        Key(
            "mac",
            ParsedText(scalars.mac, "a MAC address like 00:00:00:00:01:11"),
            "its MAC address, valid only on its port",
        ),
        Key(
            "ip",
            Many(
                ParsedText(scalars.host_address, "an IP address"),
                "a list of addresses",
                single=True,
            ),
            "its IPv4 and IPv6 addresses",
        ),
        Key("switch", _switch, "datapath id of its switch", needs=("port",)),
        Key("port", _port, "its port on that switch", needs=("switch",)),
        Key("vlan", Number(1, 4094, "a VLAN"), "the VLAN of its port"),
        Key("labels", _labels, "labels that selectors of segments match"),
        Key(
            "routes",
            Many(_network, "a list of networks", single=True),
            "prefixes that its port may send and receive for: it is a router or uplink",
        ),
        Key(
            "serves",
            Many(
                OneOf({word: word for word in (DHCP, ADVERTISEMENTS)}),
                "a list of services",
                single=True,
            ),
            "services for the whole network: dhcp, ra (router advertisements)",
        ),
        Key("routed", _flag, "traffic between two of our hosts may pass through it", default=False),
    ),
)

SELECTOR = Record(
    "a selector",
    (
        Key("labels", _labels, "hosts with all of these labels"),
        Key("host", _name, "one host by name"),
        Key("cidr", _network, "every address of a network"),
        Key(
            "except",
            Many(_network, "a list of networks", single=True, empty="no exception stands here"),
            "parts of the network that are excluded",
            needs=("cidr",),
        ),
        Key("switch", _switch, "addresses bound to a port of this switch", needs=("port",)),
        Key("port", _port, "the port", needs=("switch",)),
    ),
    empty="an empty selector selects nothing; where everyone is meant, write `any` in the intent",
)
_selectors = Many(SELECTOR, "a list of selectors")

SEGMENT = Record(
    "a segment",
    (
        Key("description", _text, "description for people"),
        Key("members", _selectors, "members: everything that any entry selects", required=True),
        Key("mode", _mode, "effect of a deny; default: defaults.mode"),
        Key("adapt", _adapt, "how far machine decisions may go in this segment", default="alert"),
    ),
)


def _references(what: str) -> ValueKind:
    empty = f"nobody stands here; write `any` for everyone, or name a {what}"
    return Many(_name, f"a {what} or a list of them", single=True, empty=empty)


INTENT = Record(
    "an intent",
    (
        Key("name", _name, "unique name, shown in verdicts, rules and logs", required=True),
        Key("from", _references("segment"), "initiators: segments, any or unknown", True),
        Key("to", _references("segment"), "responders: segments, any or unknown", True),
        Key("services", _references("service"), "service names, literals like tcp/22, any", True),
        Key("action", _action, "allow or deny", default="allow"),
        Key("tier", _tier, "who decides first", default="application"),
        Key(
            "established",
            OneOf({"cut": False, "keep": True}),
            "effect on established connections when this intent is removed",
            default="cut",
        ),
        Key("log", _flag, "write every connection to the log", default=False),
        Key(
            "expires",
            ParsedText(
                scalars.moment,
                "a time with its zone",
                {"type": "string", "format": "date-time"},
            ),
            "time at which the intent expires (RFC 3339, with zone)",
        ),
        Key("description", _text, "purpose, for people"),
    ),
)

DEFAULTS = Record(
    "defaults",
    (
        Key("action", _action, "for connections that no intent matches", default="deny"),
        Key(
            "mode",
            _mode,
            "for segments without a mode and addresses in no segment",
            default="audit",
        ),
        Key(
            "infrastructure",
            Record(
                "infrastructure",
                (
                    Key("arp", _action, "IPv4 address resolution", default="allow"),
                    Key("nd", _action, "IPv6 neighbour discovery", default="allow"),
                    Key("dhcp", _action, "address assignment", default="allow"),
                ),
            ),
            "protocols that every network needs",
        ),
    ),
)

ADAPTIVE = Record(
    "adaptive",
    (
        Key(
            "actions",
            Many(
                OneOf({word: word for word in ("alert", "rate_limit", "isolate", "quarantine")}),
                "a list of actions",
                single=True,
            ),
            "permitted actions of machine decisions",
        ),
        Key("protected", _selectors, "never blocked by a machine decision"),
        Key(
            "max_hosts",
            Number(0, 10**6, "a number of hosts"),
            "hosts blocked at the same time without approval",
        ),
        Key(
            "max_share",
            _share,
            "of one segment's hosts",
        ),
        Key(
            "ttl",
            ParsedText(scalars.ttl, "a duration like 15m", {"type": ["string", "integer"]}),
            "after which every machine decision expires",
        ),
        Key(
            "rate_limit",
            ParsedText(scalars.rate, "a rate like 100pps"),
            "rate that rate_limit leaves",
        ),
        Key(
            "trusted_exporters",
            Many(ParsedText(scalars.address, "an address"), "a list of addresses", single=True),
            "exporters of flows whose word alone machine decisions may rest on",
        ),
    ),
)

FEED = Record(
    "a feed",
    (
        Key("name", _name, "its unique name", required=True),
        Key("path", _text, "a file beside the policy, or an http(s) address", required=True),
        Key(
            "format",
            OneOf({word: word for word in FEED_FORMATS}),
            "how it is written",
            required=True,
        ),
        Key("mode", _mode, "effect on listed addresses", default="audit"),
        Key("refresh", _duration, "interval between loads", default="1h"),
        Key(
            "min_confidence",
            Number(0, 100, "a confidence"),
            "entries with a lower confidence are dropped",
            default=0,
        ),
        Key(
            "may_list_own",
            _flag,
            "whether private addresses and our own networks may be listed",
            default=False,
        ),
        Key("max_share", _share, "share of each address family that it may cover", default=0.004),
        Key(
            "max_change",
            _share,
            "share of its entries that may come or go in one refresh, above 1,000 of them",
            default=0.5,
        ),
    ),
)

TEST = Record(
    "a test",
    (
        Key("from", _name, "initiator: host name or address", required=True),
        Key("to", _name, "responder: host name or address", required=True),
        Key("service", _name, "service name or literal", required=True),
        Key("expect", _action, "expected verdict", required=True),
    ),
)

METADATA = Record(
    "metadata",
    (
        Key("name", _name, "the policy's name"),
        Key("owner", _text, "who answers for it"),
        Key("description", _text, "what it is for"),
    ),
)

_SERVICE = ParsedText(scalars.service, "a service like tcp/22")

HELPED = Record(
    "a service with a helper",
    (
        Key("port", _SERVICE, "of the control connection, like tcp/21", True),
        Key(
            "helper",
            OneOf({name: name for name in HELPERS}),
            "lets the connections pass that belong to one of this service",
            True,
        ),
    ),
)

DOCUMENT = Record(
    "a policy",
    (
        Key("apiVersion", OneOf({API_VERSION: API_VERSION}), "version of the language"),
        Key("kind", OneOf({KIND: KIND}), "kind of document"),
        Key("metadata", METADATA, "about the policy"),
        Key(
            "include",
            Many(_text, "a list of files", single=True),
            "more files, relative to this one; a .csv is an inventory of hosts",
        ),
        Key("hosts", NameTable(HOST, "hosts by name", scalars.name), "the inventory"),
        Key(
            "segments", NameTable(SEGMENT, "segments by name", scalars.name), "groups of addresses"
        ),
        Key(
            "services",
            NameTable(
                Many(
                    TextOrRecord(_SERVICE, HELPED),
                    "a list of services",
                    single=True,
                    empty="no service stands here; write `any` for all",
                ),
                "services by name",
                scalars.name,
            ),
            "names for services",
        ),
        Key("intents", Many(INTENT, "a list of intents"), "who may talk to whom"),
        Key("defaults", DEFAULTS, "for connections that no intent matches"),
        Key("adaptive", ADAPTIVE, "the envelope of machine decisions"),
        Key("feeds", Many(FEED, "a list of feeds"), "threat intelligence"),
        Key("tests", Many(TEST, "a list of tests"), "expected verdicts of the policy"),
    ),
)
