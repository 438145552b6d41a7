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
    ValueKind,
)
from policies.model import ADVERTISEMENTS, DHCP, FEED_FORMATS, INTENT_TIERS, Action, Adapt, Mode

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
_switch = Number(1, 2**64 - 1, "a switch (datapath id)")
_port = Number(1, 0xFFFFFF00, "a switch port")
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
        Key("labels", _labels, "what segments select it by"),
        Key(
            "routes",
            Many(_network, "a list of networks", single=True),
            "prefixes that its port may source and sink: it is a router or uplink",
        ),
        Key(
            "serves",
            Many(
                OneOf({word: word for word in (DHCP, ADVERTISEMENTS)}),
                "a list of services",
                single=True,
            ),
            "what it serves to the whole network: dhcp, ra (router advertisements)",
        ),
        Key("routed", _flag, "traffic between two of our hosts may pass through it", default=False),
    ),
)

SELECTOR = Record(
    "a selector",
    (
        Key("labels", _labels, "hosts that carry all of these"),
        Key("host", _name, "one host by name"),
        Key("cidr", _network, "every address of a network"),
        Key(
            "except",
            Many(_network, "a list of networks", single=True, empty="no exception stands here"),
            "parts of the network that are left out",
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
        Key("description", _text, "what it is, for people"),
        Key("members", _selectors, "who is in it: whoever any entry selects", required=True),
        Key("mode", _mode, "what happens to a deny; left out: defaults.mode"),
        Key("adapt", _adapt, "how far machine decisions go here", default="alert"),
    ),
)


def _references(what: str) -> ValueKind:
    empty = f"nobody stands here; write `any` for everyone, or name a {what}"
    return Many(_name, f"a {what} or a list of them", single=True, empty=empty)


INTENT = Record(
    "an intent",
    (
        Key("name", _name, "its unique name; verdicts, rules and logs carry it", required=True),
        Key("from", _references("segment"), "segments that start it, or any, unknown", True),
        Key("to", _references("segment"), "segments that answer, or any, unknown", True),
        Key("services", _references("service"), "service names, literals like tcp/22, any", True),
        Key("action", _action, "allow or deny", default="allow"),
        Key("tier", _tier, "who decides first", default="application"),
        Key(
            "established",
            OneOf({"cut": False, "keep": True}),
            "what happens to live connections when this intent goes away",
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
        Key("description", _text, "why it is there, for people"),
    ),
)

DEFAULTS = Record(
    "defaults",
    (
        Key("action", _action, "for what no intent decides", default="deny"),
        Key("mode", _mode, "for segments that name none and addresses in none", default="audit"),
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
            "what a network needs to work at all",
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
            "what machine decisions may do",
        ),
        Key("protected", _selectors, "never blocked by a machine decision"),
        Key("max_hosts", Number(0, 10**6, "a number of hosts"), "blocked at once without a person"),
        Key(
            "max_share",
            ParsedText(
                scalars.share,
                "a share like 0.2",
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                plain=True,
            ),
            "of one segment's hosts",
        ),
        Key(
            "ttl",
            ParsedText(scalars.ttl, "a duration like 15m", {"type": ["string", "integer"]}),
            "after which every machine decision expires",
        ),
        Key("rate_limit", ParsedText(scalars.rate, "a rate like 100pps"), "what rate_limit leaves"),
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
        Key("mode", _mode, "what happens to what it lists", default="audit"),
        Key("refresh", _duration, "how often it is read again", default="1h"),
        Key(
            "min_confidence",
            Number(0, 100, "a confidence"),
            "entries below it are left out",
            default=0,
        ),
    ),
)

TEST = Record(
    "a test",
    (
        Key("from", _name, "host name or address that starts the connection", required=True),
        Key("to", _name, "host name or address that it goes to", required=True),
        Key("service", _name, "service name or literal", required=True),
        Key("expect", _action, "the verdict it must get", required=True),
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
                    ParsedText(scalars.service, "a service like tcp/22"),
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
        Key("defaults", DEFAULTS, "for what no intent decides"),
        Key("adaptive", ADAPTIVE, "the envelope that machine decisions act in"),
        Key("feeds", Many(FEED, "a list of feeds"), "threat intelligence"),
        Key("tests", Many(TEST, "a list of tests"), "what the policy must do"),
    ),
)
