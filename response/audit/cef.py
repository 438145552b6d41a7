"""Audit entries as lines of the Common Event Format (ArcSight CEF 0, implementation standard 25).

In the header a backslash and a bar are escaped, in values a backslash and an equals sign; a line
break in a value is written as ``\\n`` or ``\\r``, in the header it becomes a space.
"""

from __future__ import annotations

import json
from typing import Any

from response.audit.chain import AuditEntry

_NAMES = {
    "alert": "Alert", "decision": "Decision made", "approved": "Decision approved",
    "rejected": "Decision rejected", "released": "Decision released",
    "expired": "Decision expired", "extended": "Decision extended",
    "enforce": "Rules asked for", "withdraw": "Removal of rules asked for",
    "confirmed": "Rules confirmed by switch", "removed": "Removal confirmed by switch",
    "spoof": "Spoofed packets", "lost": "Records lost", "policy": "Policy",
    "switch": "Switch", "link": "Link between switches", "host": "Undeclared hosts",
    "feed": "Threat feed", "hold": "Automatic action held or resumed",
    "checkpoint": "Audit checkpoint", "started": "Analysis started",
    "archived": "Old audit entries archived", "clock": "System clock stepped",
}  # fmt: skip
_SEVERITY = {"alert": 6, "decision": 7, "spoof": 4, "lost": 3, "hold": 5}
_MAX_MESSAGE = 1023  # characters that ``msg`` may have


class Cef:
    """Makes one line of each entry."""

    def __init__(self, product_version: str) -> None:
        self._version = product_version

    def line(self, entry: AuditEntry) -> str:
        data = entry.values()
        severity = _SEVERITY.get(entry.kind, 3)
        if entry.kind in ("alert", "decision") and "active" in (
            data.get("outcome"),
            data.get("state"),
        ):
            severity = 9
        head = ("Septum", "Septum", self._version, entry.kind,
                _NAMES.get(entry.kind, entry.kind), str(severity))  # fmt: skip
        fields = {name: value for name, value in _fields(entry, data).items() if value is not None}
        extension = " ".join(f"{name}={_value(str(value))}" for name, value in fields.items())
        return "CEF:0|" + "|".join(map(_header, head)) + "|" + extension


def _fields(entry: AuditEntry, data: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "rt": round(entry.ts * 1000),
        "externalId": entry.seq,
        "cat": entry.kind,
        "cs1Label": "decision", "cs1": data.get("decision"),
        "cs2Label": "hash", "cs2": entry.hash,
        "suser": data.get("by"),
        "suid": data.get("uid"),
        "reason": data.get("reason"),
        "act": data.get("action"),
    }  # fmt: skip
    if fields["cs1"] is None:
        del fields["cs1Label"]
    if entry.kind == "alert":
        alert = data["alert"]
        fields |= _address(alert["host"])
        fields |= {"cs3Label": "attack", "cs3": alert["attack"], "outcome": data["outcome"],
                   "cfp1Label": "score", "cfp1": alert["score"]}  # fmt: skip
    elif data.get("addresses"):
        fields |= _address(data["addresses"][0])
    elif entry.kind == "spoof":
        most = data["most"][0]
        fields |= {"smac": most["mac"], "cnt": data["packets"]} | _address(most["ip"])
    fields["msg"] = json.dumps(data, ensure_ascii=False, separators=(",", ":"))[:_MAX_MESSAGE]
    return fields


def _address(text: str) -> dict[str, str]:
    """``src`` holds IPv4 only; IPv6 has a field of its own, and so has a port of a switch."""
    if not text:
        return {}
    if " " in text:
        return {"deviceInboundInterface": text}
    if ":" in text:
        return {"c6a2Label": "Source IPv6 Address", "c6a2": text}
    return {"src": text}


def _header(text: str) -> str:
    flat = " ".join(text.splitlines())
    return flat.replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")
