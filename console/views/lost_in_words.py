"""What a controller lost or dropped, in words."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = {
    "records": ("record dropped by a full queue", "records dropped by a full queue"),
    "messages_about_confirmations": (
        "confirmation of a rule that the audit lacks",
        "confirmations of rules that the audit lacks",
    ),
    "messages_about_policies": (
        "change of policy that the analysis was not told of",
        "changes of policy that the analysis was not told of",
    ),
    "messages_about_switch_events": (
        "event of a switch that the audit lacks", "events of switches that the audit lacks",
    ),
    "copies_held_back_by_meters": (
        "packet copy held back by a port's meter", "packet copies held back by ports' meters",
    ),
    "connections_held_back_by_meters": (
        "new connection held back by a port's meter", "new connections held back by ports' meters",
    ),
    "switches_that_count_no_more": (
        "switch that has no room to count further connections",
        "switches that have no room to count further connections",
    ),
    "connections_denied_by_full_tables": (
        "connection denied since a switch can track no more",
        "connections denied since a switch can track no more",
    ),
    "starts_forgotten": (
        "open connection no longer followed, to make room",
        "open connections no longer followed, to make room",
    ),
    "stragglers": (
        "late packet of an ended connection, denied and not listed as an attempt",
        "late packets of ended connections, denied and not listed as attempts",
    ),
    "malformed_messages": ("malformed message of a switch", "malformed messages of switches"),
    "unreadable_frames": ("unreadable packet copy", "unreadable packet copies"),
    "forged_lldp": ("forged link discovery frame", "forged link discovery frames"),
    "stale_lldp": (
        "late or repeated link discovery frame", "late or repeated link discovery frames",
    ),
    "connections_refused": (
        "connection to the controller refused", "connections to the controller refused",
    ),
    "messages_not_understood": (
        "message that is not OpenFlow 1.3", "messages that are not OpenFlow 1.3",
    ),
    "rules_refused": (
        "rule refused by a switch, left out there", "rules refused by switches, left out there",
    ),
    "faults": ("fault of the controller (see its log)", "faults of the controller (see its log)"),
}  # fmt: skip


def losses_in_words(lost: Mapping[str, int]) -> list[str]:
    """One line for each kind that there was any of; a kind without words keeps its name."""
    lines = []
    for kind, count in lost.items():
        if count:
            one, many = _WORDS.get(kind, (kind.replace("_", " "),) * 2)
            lines.append(f"{count:,} {one if count == 1 else many}")
    return lines
