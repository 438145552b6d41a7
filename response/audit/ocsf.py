"""Audit entries as events of the Open Cybersecurity Schema Framework, version 1.3.0.

Alerts and what became of them are Detection Findings (2004), one finding per alert. What was
asked of switches and what they confirmed, and spoofed packets, are Network Activity (4001) with
the security control profile. What fits neither class is a Base Event (0): nothing is left out,
and every event carries its entry's number and hash. Names and numbers are those of the schema,
https://schema.ocsf.io/1.3.0.
"""

from __future__ import annotations

import json
from typing import Any

from policies.model import PROTOCOL_NUMBERS
from response.audit.attack_techniques import TECHNIQUES, VERSION
from response.audit.chain import AuditEntry

SCHEMA = "1.3.0"
BASE, FINDING, NETWORK = 0, 2004, 4001
CREATE, UPDATE, CLOSE = 1, 2, 3  # activities of a finding
REFUSE, TRAFFIC = 5, 6  # activities of a network
OTHER = 99
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4  # severities
LEARNING = 4  # type of an analytic
ALLOWED, DENIED = 1, 2  # actions
DISPOSITIONS = {"quarantine": 3, "isolate": 4, "rate_limit": 14}
BLOCKED, RESTORED = 2, 9
_MAX_EVIDENCE = 20
_FINDING_KINDS = {
    "decision": (UPDATE, 2), "approved": (UPDATE, 2), "extended": (UPDATE, 2),
    "rejected": (CLOSE, 3), "released": (CLOSE, 4), "expired": (CLOSE, 4),
}  # fmt: skip
"""Activity and status of what became of an alert: in progress, suppressed, resolved."""


class Ocsf:
    """Makes one event of each entry, in their order: later entries refer to earlier ones."""

    def __init__(self, product_version: str) -> None:
        self._version = product_version
        self._findings: dict[str, str] = {}  # decision → alert
        self._actions: dict[str, tuple[str, list[str]]] = {}  # decision → action and addresses

    def line(self, entry: AuditEntry) -> str:
        return json.dumps(self.event(entry), ensure_ascii=False, separators=(",", ":"))

    def event(self, entry: AuditEntry) -> dict[str, Any]:
        data = entry.values()
        if entry.kind == "alert":
            return self._alert(entry, data)
        if entry.kind in _FINDING_KINDS:
            return self._outcome(entry, data)
        if entry.kind in ("enforce", "withdraw", "confirmed", "removed"):
            return self._enforcement(entry, data)
        if entry.kind == "spoof":
            return self._spoof(entry, data)
        return self._event(entry, BASE, OTHER, INFORMATIONAL, unmapped=data)

    def _event(
        self, entry: AuditEntry, kind: int, activity: int, severity: int, **more: Any
    ) -> dict[str, Any]:
        data = entry.values()
        metadata: dict[str, Any] = {
            "version": SCHEMA,
            "product": {"name": "Septum", "vendor_name": "Septum", "version": self._version},
            "uid": entry.hash,
            "sequence": entry.seq,
            "event_code": entry.kind,
            "log_name": "audit",
        }
        if data.get("decision"):
            metadata["correlation_uid"] = data["decision"]
        if "disposition_id" in more:
            metadata["profiles"] = ["security_control"]
        event = {
            "activity_id": activity,
            "category_uid": kind // 1000,
            "class_uid": kind,
            "type_uid": kind * 100 + activity,
            "severity_id": severity,
            "time": round(entry.ts * 1000),
            "metadata": metadata,
            **more,
        }
        if activity == OTHER:
            event["activity_name"] = entry.kind
        return event

    def _alert(self, entry: AuditEntry, data: dict[str, Any]) -> dict[str, Any]:
        alert = data["alert"]
        if data.get("decision"):
            self._findings.setdefault(data["decision"], alert["id"])
        technique = TECHNIQUES.get(alert["attack"])
        attack: dict[str, Any] = {"technique": {"uid": alert["attack"]}, "version": VERSION}
        if technique is not None:
            attack["technique"]["name"] = technique.name
            attack["tactic"] = {"uid": technique.tactic, "name": technique.tactic_name}
        model, _, version = alert["model"].rpartition(" ")
        analytic = {"type_id": LEARNING, "uid": alert["model"], "name": model or version}
        if model:
            analytic["version"] = version
        return self._event(
            entry, FINDING, CREATE, HIGH if data["outcome"] == "active" else MEDIUM,
            finding_info={
                "uid": alert["id"],
                "title": f"{alert['kind']} by {alert['host']}",
                "desc": data["reason"],
                "types": [alert["kind"]],
                "created_time": round(alert["ts"] * 1000),
                "attacks": [attack],
                "analytic": analytic,
            },
            status_id=1,
            is_alert=True,
            confidence_score=round(alert["score"] * 100),
            evidences=[_evidence(record) for record in data.get("evidence", [])[:_MAX_EVIDENCE]]
            or [{"src_endpoint": _suspect(alert["host"])}],
            message=f"{alert['kind']} by {alert['host']}: {data['outcome']}, {data['reason']}",
            unmapped={"alert": alert, "outcome": data["outcome"]},
        )  # fmt: skip

    def _outcome(self, entry: AuditEntry, data: dict[str, Any]) -> dict[str, Any]:
        activity, status = _FINDING_KINDS[entry.kind]
        decision = data["decision"]
        if "alert" in data:
            self._findings.setdefault(decision, data["alert"])
        finding = self._findings.get(decision, decision)
        by = f" by {data['by']}" if data.get("by") else ""
        return self._event(
            entry, FINDING, activity, INFORMATIONAL if activity == CLOSE else HIGH,
            finding_info={"uid": finding, "title": f"decision {decision} {entry.kind}{by}"},
            status_id=status,
            message=str(data.get("reason") or f"decision {decision} {entry.kind}{by}"),
            unmapped=data,
        )  # fmt: skip

    def _enforcement(self, entry: AuditEntry, data: dict[str, Any]) -> dict[str, Any]:
        decision = data["decision"]
        if entry.kind == "enforce":
            self._actions[decision] = data["action"], data["addresses"]
        action, addresses = self._actions.get(decision, ("", []))
        undo = entry.kind in ("withdraw", "removed")
        confirmed = entry.kind in ("confirmed", "removed")
        rules = "".join(f" {s}/{t}/{c:#x}" for s, t, c in data.get("rules", []))
        what = {
            "enforce": f"asked for {action}", "withdraw": "asked to take the rules away",
            "confirmed": "confirmed by barrier:" + rules,
            "removed": "removal confirmed by barrier:" + rules,
        }[entry.kind]  # fmt: skip
        more: dict[str, Any] = {}
        if data.get("rules"):
            cookies = sorted({cookie for _, _, cookie in data["rules"]})
            more["firewall_rule"] = {"uid": f"{cookies[0]:#x}", "name": decision, "type": action}
        source: dict[str, Any] = {"ip": addresses[0]} if addresses else {"name": decision}
        return self._event(
            entry, NETWORK, TRAFFIC if undo else REFUSE, INFORMATIONAL,
            src_endpoint=source,
            dst_endpoint={"name": "any"},
            connection_info={"direction_id": 0},
            action_id=ALLOWED if undo else DENIED,
            disposition_id=RESTORED if undo else DISPOSITIONS.get(action, BLOCKED),
            status_id=1 if confirmed else 0,
            message=f"{decision}: {what}",
            unmapped={**data, "addresses": addresses},
            **more,
        )  # fmt: skip

    def _spoof(self, entry: AuditEntry, data: dict[str, Any]) -> dict[str, Any]:
        most = data["most"][0]
        source: dict[str, Any] = {"mac": most["mac"]}
        if most["ip"]:
            source["ip"] = most["ip"]
        source["interface_uid"] = f"{most['switch']}:{most['port']}"
        return self._event(
            entry, NETWORK, REFUSE, LOW,
            src_endpoint=source, dst_endpoint={"name": "any"},
            connection_info={"direction_id": 0},
            action_id=DENIED, disposition_id=BLOCKED, status_id=1,
            count=data["packets"], start_time=round(data["since"] * 1000),
            message=f"{data['packets']} spoofed packets; most: {most['reason']}",
            unmapped=data,
        )  # fmt: skip


def _suspect(host: str) -> dict[str, str]:
    """A host by its address, or a port of a switch by its name."""
    return {"name": host} if " " in host else {"ip": host}


def _evidence(record: dict[str, Any]) -> dict[str, Any]:
    info: dict[str, Any] = {"protocol_name": record["proto"], "direction_id": 0}
    number = PROTOCOL_NUMBERS.get(record["proto"])
    if number is not None:
        info["protocol_num"] = number
    ends = {}
    for end in ("src", "dst"):
        ends[f"{end}_endpoint"] = {"ip": record[f"{end}_ip"]}
        if record["proto"] in ("tcp", "udp", "sctp"):
            ends[f"{end}_endpoint"]["port"] = record[f"{end}_port"]
    return {**ends, "connection_info": info}
