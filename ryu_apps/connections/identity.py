"""Whether a connection may speak for the datapath id that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.compiler.switches_file import Switches
from policies.rules.layout import zone_of


@dataclass(frozen=True, slots=True)
class DatapathIdentity:
    """``listed_only``: refuse datapath ids that the switches file does not list."""

    settings: Switches = field(default_factory=Switches)
    listed_only: bool = False

    def problem(
        self, switch: int, names: frozenset[str] | None, others: Iterable[int]
    ) -> str | None:
        """Why a connection may not speak for a switch; None when it may.

        ``names`` are those of its certificate, None without TLS; ``others`` the ids of the other
        switches that are driven.
        """
        if not 0 < switch < 1 << 64:
            return "0 is no datapath id: set one on the switch"
        setting = self.settings.own.get(switch)
        if setting is None:
            if self.listed_only:
                return "it is not in the switches file, which lists all switches that may connect"
            return self._shared_zone(switch, others)
        wanted = setting.certificate
        if wanted is None:
            return None
        if names is None:
            return f"it may connect only over TLS, with the certificate of {wanted}"
        if wanted not in names:
            has = " or ".join(sorted(names)) or "nobody"
            return f"its certificate is that of {has}, not of {wanted}"
        return None

    def _shared_zone(self, switch: int, others: Iterable[int]) -> str | None:
        """Two bridges of one Open vSwitch with one zone would share their connections."""
        zone = zone_of(switch)
        clash = next((each for each in others if each != switch and zone_of(each) == zone), None)
        if clash is None:
            return None
        return (
            f"its datapath id folds to the connection-tracking zone of switch {clash}: give one of "
            "them another, or list it in the switches file where they are two machines"
        )


def certificate_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The common names and alternative names of a peer's certificate, as `ssl` gives it."""
    return frozenset(_names(certificate or {}))


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for part in certificate.get("subject", ()):
        yield from (value for key, value in part if key == "commonName" and value.isprintable())
    for _, value in certificate.get("subjectAltName", ()):
        if value.isprintable():
            yield value
