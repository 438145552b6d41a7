"""The rules of routers on every switch, kept up as hosts and bindings change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.compiler.common.aggregate import Aggregate, Key
from policies.compiler.common.changes import RuleChange, change_between
from policies.compiler.common.routers import (
    Router,
    bound_prefixes,
    elsewhere_rule,
    overlap,
    route_rules,
    router_at,
)
from policies.compiler.stateful.layouts import GUARD
from policies.compiler.stateful.special_hosts import SpecialHosts
from policies.rules.rule import Rule
from policies.semantics.prefix_sets import number_at
from topology.records import Binding


class Routers:
    """The rules of routers on every switch, kept up with hosts and bindings."""

    def __init__(self, special: SpecialHosts, bindings: Sequence[Binding]) -> None:
        self._take(special, bindings)

    def _take(self, special: SpecialHosts, bindings: Sequence[Binding]) -> None:
        found = {router_at(host, binding) for host, binding in special.bound() if host.routes}
        self._on: dict[int, list[Router]] = {}
        for router in sorted(found):
            self._on.setdefault(router.switch, []).append(router)
        self._bound: Aggregate[bool] | None = None
        self._counts: dict[int, int] = {}  # bindings of each address
        if any(not router.routed for router in found):
            self._bound = bound_prefixes(bindings)
            for binding in bindings:
                number = number_at(binding.ip)
                self._counts[number] = self._counts.get(number, 0) + 1

    def rules(self, switch: int) -> Iterator[Rule]:
        """What the routers of a switch may send."""
        for router in self._on.get(switch, ()):
            yield from route_rules(router, GUARD)
        if self._bound is not None and switch in self._lending():
            for key, _ in sorted(self._bound.kept()):
                if self._concerns(switch, key):
                    yield elsewhere_rule(key, GUARD)

    def change(self, special: SpecialHosts, bindings: Sequence[Binding]) -> dict[int, RuleChange]:
        """Follow other special hosts: what changes on each switch."""
        before = {switch: list(self.rules(switch)) for switch in self._on}
        self._take(special, bindings)
        return {
            switch: change_between(before.get(switch, ()), self.rules(switch))
            for switch in sorted(before.keys() | self._on.keys())
        }

    def lend(self, gone: Iterable[Binding], come: Iterable[Binding]) -> dict[int, RuleChange]:
        """Follow ordinary hosts: routers may use other addresses than before."""
        return {} if self._bound is None else self._lend(self._bound, gone, come)

    def _lend(
        self, bound: Aggregate[bool], gone: Iterable[Binding], come: Iterable[Binding]
    ) -> dict[int, RuleChange]:
        """Other addresses are bound than before."""
        touched: dict[Key, bool | None] = {}
        for step, bindings in ((1, come), (-1, gone)):
            for binding in bindings:
                number = number_at(binding.ip)
                count = self._counts[number] = self._counts.get(number, 0) + step
                touched[number, -1] = True if count else None
                if not count:
                    del self._counts[number]
        kept = bound.change(touched.items())
        return {
            switch: RuleChange(
                tuple(
                    elsewhere_rule(k, GUARD)
                    for k, v in kept.items()
                    if v and self._concerns(switch, k)
                ),
                tuple(
                    elsewhere_rule(k, GUARD)
                    for k, v in kept.items()
                    if not v and self._concerns(switch, k)
                ),
            )
            for switch in self._lending()
        }

    def _lending(self) -> list[int]:
        """Switches with a router that must not use addresses bound elsewhere."""
        return [
            switch
            for switch, routers in self._on.items()
            if any(not router.routed for router in routers)
        ]

    def _concerns(self, switch: int, key: Key) -> bool:
        return any(
            overlap(key, route)
            for router in self._on[switch]
            if not router.routed
            for route in router.routes
        )
