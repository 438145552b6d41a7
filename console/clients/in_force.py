"""What a state directory holds in force: policy version, hosts, decisions, feeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from console.errors import CommandError
from policies.compiler import declared_bindings
from policies.feed_block import FeedBlock
from policies.model import Policy, Restriction
from policies.semantics.feed_listings import Listings
from policies.semantics.membership import Membership
from response.decision import Decision, restriction
from response.state.policy_versions import Versions
from response.state.store import Store
from topology.records import Binding


@dataclass(frozen=True, slots=True)
class InForce:
    """``version`` is the number of the policy, None for one that was given as files; ``bindings``
    are the declared and the discovered ones, ``decisions`` the active ones."""

    policy: Policy
    version: int | None
    bindings: tuple[Binding, ...]
    decisions: tuple[Decision, ...] = ()
    feeds: tuple[FeedBlock, ...] = ()

    @property
    def membership(self) -> Membership:
        return Membership(self.policy, self.bindings)

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        return restrictions_of(self.decisions)

    @property
    def listings(self) -> Listings:
        return Listings(self.feeds)

    def decision(self, number: int | None) -> Decision | None:
        """The active decision with this number."""
        return next((each for each in self.decisions if each.number == number), None)

    def __str__(self) -> str:
        version = "as given" if self.version is None else f"version {self.version}"
        hosts = len({each.mac for each in self.bindings})
        return (
            f"policy {self.policy.name}, {version}; {hosts} hosts known, "
            f"{len(self.decisions)} decisions active, {len(self.feeds)} feeds"
        )


def restrictions_of(decisions: Iterable[Decision]) -> tuple[Restriction, ...]:
    """Decisions as verdicts and rules see them."""
    return tuple(map(restriction, decisions))


def in_force(store: Store, state: Path, now: float, policy: Policy | None = None) -> InForce:
    """What is in force at ``now``; ``policy`` takes the place of the running version.

    Raises CommandError where no policy was ever in force, VersionError or PolicyError where it
    cannot be read.
    """
    version: int | None = None
    if policy is None:
        current = Versions(state).current()
        if current is None:
            raise CommandError(f"{state}: no policy was ever in force; start `septum run` first")
        version, policy = current[0].number, current[1]
    return InForce(
        policy,
        version,
        (*declared_bindings(policy), *store.bindings()),
        store.active_decisions(now),
        tuple(listed.block for listed in store.feed_blocks()),
    )
