"""The ``hosts`` of a policy: entries as values, and addresses that two of them claim."""

from __future__ import annotations

from typing import Any

from policies.language.documents import Merged
from policies.language.errors import Findings
from policies.language.kinds import Read
from policies.model import Host


class HostReader:
    """Reads the hosts of merged documents; what is wrong with them goes to ``findings``."""

    def __init__(self, merged: Merged, findings: Findings) -> None:
        self._merged, self._findings = merged, findings

    def hosts(self) -> tuple[Host, ...]:
        hosts = [
            self._host(name, read)
            for name, read in self._merged.tables["hosts"].items()
            if read is not None
        ]
        self._refuse_shared_addresses(hosts)
        return tuple(hosts)

    def _host(self, name: str, read: Read) -> Host:
        labels = read.part("labels")
        return Host(
            name=name,
            mac=read.get("mac"),
            ips=values_of(read, "ip"),
            switch=read.get("switch"),
            port=read.get("port"),
            vlan=read.get("vlan"),
            labels=() if labels is None else pairs_of(labels),
            routes=values_of(read, "routes"),
            routed=read.get("routed", False),
            serves=values_of(read, "serves"),
            source=read.source,
        )

    def _refuse_shared_addresses(self, hosts: list[Host]) -> None:
        """A MAC or IP address belongs to one host in a VLAN, and is declared only once."""
        owners: dict[tuple[int | None, Any], str] = {}
        for host in hosts:
            read = self._merged.tables["hosts"][host.name]
            if read is None:
                continue
            mac = read.part("mac")
            for part, what in ((mac, "MAC"), *((ip, "address") for ip in read.items("ip"))):
                if part is None:
                    continue
                owner = owners.setdefault((host.vlan, part.value), host.name)
                if owner != host.name:
                    self._bound_twice(what, part, owner, host)
            if len(set(host.ips)) < len(host.ips):
                message = f"host '{host.name}' has the same address twice"
                self._findings.error("duplicate-address", message, read.items("ip")[0].source)

    def _bound_twice(self, what: str, part: Read, owner: str, host: Host) -> None:
        first = self._merged.tables["hosts"][owner]
        at = "" if first is None else f" at {first.source}"
        where = "" if host.vlan is None else f" in VLAN {host.vlan}"
        message = f"{what} {part.value} of '{host.name}' is bound to '{owner}'{at} already{where}"
        self._findings.error("duplicate-address", message, part.source, part.width)


def values_of(read: Read, key: str) -> tuple[Any, ...]:
    """The values of a list's items."""
    return tuple(part.value for part in read.items(key))


def pairs_of(labels: Read) -> tuple[tuple[str, str], ...]:
    """Labels by key, in the order of their keys."""
    return tuple(sorted((k, part.value) for k, part in labels.value.items() if part is not None))
