"""Hosts that are more than hosts, routers and servers, and where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.model import Host
from topology.records import Binding


def is_special(host: Host) -> bool:
    return bool(host.routes or host.serves)


class SpecialHosts:
    """The special hosts with their bindings, kept up as either change."""

    def __init__(self, hosts: Sequence[Host], bindings: Iterable[Binding]) -> None:
        self._hosts = hosts
        self._take(bindings)

    def _take(self, bindings: Iterable[Binding]) -> None:
        self._named = {host.name: host for host in self._hosts if is_special(host)}
        named = self._named
        self._bindings = [each for each in bindings if each.host in named] if named else []

    def bound(self) -> Iterator[tuple[Host, Binding]]:
        """Every special host with each of its bindings."""
        for binding in self._bindings:
            assert binding.host is not None
            yield self._named[binding.host], binding

    def follow(
        self,
        hosts: Sequence[Host],
        bindings: Sequence[Binding],
        moved: Iterable[Binding],
        other: bool,
    ) -> bool:
        """Follow hosts and bindings, of which ``moved`` came or went; ``other``: a special host is
        another than before. Whether anything changes for special hosts."""
        self._hosts = hosts
        if other or any(each.host in self._named for each in moved):
            self._take(bindings)
            return True
        return False
