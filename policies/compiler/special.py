"""Hosts that are more than hosts, routers and servers, and where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.model import Host
from policies.sequences import differences
from topology.records import Binding


def is_special(host: Host) -> bool:
    return bool(host.routes or host.serves)


class Special:
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
        gone: Iterable[Binding],
        come: Iterable[Binding],
    ) -> bool:
        """Follow hosts and bindings; whether any of the special ones is another than before."""
        left, new = differences(self._hosts, hosts)
        self._hosts = hosts
        named = self._named
        changed = any(is_special(host) for host in (*left, *new))
        if changed or any(each.host in named for each in (*gone, *come)):
            self._take(bindings)
            return True
        return False
