"""What the switches should have: policy, hosts, links and decisions, and the rules they make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from policies.compiler import (
    CompileError,
    Compiler,
    FeedRules,
    RuleChange,
    SwitchView,
    Update,
    declared_bindings,
    intent_numbers,
)
from policies.compiler.stateful.adaptive import limit_meters, restriction_rules
from policies.compiler.stateful.feeds import FeedChange
from policies.compiler.targets import Form, SwitchTarget, rules_for
from policies.model import Envelope, FeedBlock, Intent, Policy, Restriction
from policies.rules.layout import Category, category_of, name_number, number_of
from policies.rules.rule import Meter, Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.semantics.retained_intents import Keeping, in_force, kept_after
from response.decisions.decision import Decision
from topology.fabric import Fabric
from topology.hosts import ExpectedHost, HostTable
from topology.records import Binding, Link

STATEFUL = Form()


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What a decision changes on every switch. ``parts`` tells of each decision concerned its id
    and number, the rules that are its own afterwards, and those that no longer are."""

    change: RuleChange
    parts: tuple[tuple[str, int, tuple[Rule, ...], tuple[Rule, ...]], ...]


@dataclass(slots=True)
class DesiredState:
    """Everything that rules follow from. ``files`` and ``digest`` name the policy for the audit."""

    policy: Policy
    files: tuple[str, ...] = ()
    digest: str = ""
    version: int = 0  # of the policy, where it is one that was kept
    hosts: HostTable = field(default_factory=HostTable)
    fabric: Fabric = field(default_factory=Fabric)
    avoid: frozenset[int] = frozenset()  # switches that paths go around where they can
    decisions: dict[str, Decision] = field(default_factory=dict)
    feeds: dict[str, FeedBlock] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    _membership: Membership | None = None
    _compiler: Compiler | None = None
    _bindings: tuple[Binding, ...] | None = None
    _good: tuple[Binding, ...] | None = None  # that rules could last be made for
    problem: str = ""
    _feed_rules: FeedRules = field(default_factory=FeedRules)
    keeping: Keeping = field(default_factory=Keeping)

    def restore(
        self,
        bindings: Iterable[Binding],
        links: Iterable[Link],
        decisions: Iterable[Decision],
        feeds: Iterable[FeedBlock] = (),
        keeping: Keeping | None = None,
    ) -> None:
        """Take back what an earlier run knew, as far as it fits the policy."""
        self.keeping = keeping or Keeping()
        for block in feeds:
            self.list_feed(block)
        self.decisions = {each.id: each for each in decisions}
        self.fabric = Fabric.of(links)
        self.take(self.policy, self.files, self.digest)
        self.hosts.restore(bindings)

    def take(self, policy: Policy, files: tuple[str, ...], digest: str) -> None:
        """Follow another policy from now on."""
        self.policy, self.files, self.digest = policy, files, digest
        self.names = intent_numbers(policy)
        complete = declared_bindings(policy)
        placed = {binding.host for binding in complete} - {
            h.name for h in policy.hosts if not h.ips
        }
        expected = (
            ExpectedHost(
                host.name,
                host.mac,
                tuple(str(address) for address in host.ips),
                host.switch,
                host.port,
            )
            for host in policy.hosts
            if host.name not in placed
        )
        self.hosts.declare(complete, expected)
        self.hosts_changed()

    def exchange(
        self,
        policy: Policy,
        files: tuple[str, ...],
        now: float,
        check: Callable[[], None] = lambda: None,
    ) -> Update | None:
        """Follow another policy, and say as `update` what that changes.

        Raises CompileError, and changes nothing, when the tables cannot hold it
        or ``check`` says so.
        """
        before, keeping = (self.policy, self.files, self.digest), self.keeping
        discovered = dict(self.hosts.discovered)
        try:
            self.take(policy, files, digest_of(policy))
            update = self._advance(now)
            if self._compiler is None:
                self._compiler = self._compiled(now)
            check()
        except CompileError:
            self._compiler = None
            self.take(*before)
            self.keeping = keeping
            self.hosts.discovered.update(discovered)
            raise
        self._settled()
        return update

    def list_feed(self, block: FeedBlock) -> FeedChange:
        """Take all that a feed lists now, and say what that does to the rules of every switch;
        a feed that lists nothing is forgotten."""
        if block:
            self.feeds[block.feed] = block
        else:
            self.feeds.pop(block.feed, None)
        return self._feed_rules.change(self.feeds.values())

    def decide(self, decision: Decision, held: bool, now: float) -> DecisionRules:
        """Hold a machine decision from now on, in place of what it said before, or (not ``held``)
        let it go. Every rule that this changes is told, those of other decisions too."""
        addresses = set(decision.addresses)
        known = self.decisions.get(decision.id)
        if known is not None:
            addresses.update(known.addresses)
        near = {
            each.id: each
            for each in self.decisions.values()
            if not addresses.isdisjoint(each.addresses)
        }
        # What is let go may have run out, but a switch may have it for a moment more.
        then = now if held else min(now, decision.expires - 1)
        before = [*near.values(), *(() if held or decision.id in near else (decision,))]
        if held:
            near[decision.id] = self.decisions[decision.id] = decision
        else:
            near.pop(decision.id, None)
            self.decisions.pop(decision.id, None)
        old = {rule.key: rule for rule in restriction_rules(map(restriction, before), then)}
        new = tuple(restriction_rules(map(restriction, near.values()), now))
        wanted = {rule.key for rule in new}
        added = tuple(rule for rule in new if old.get(rule.key) != rule)
        removed = tuple(rule for key, rule in old.items() if key not in wanted)
        placed, gone = by_decision(new), by_decision(old.values())
        ids = {each.number: each.id for each in (*before, *near.values())}
        parts = []
        for number, name in ids.items():
            mine, lost = placed.get(number, ()), gone.get(number, ())
            kept = {(rule.table, rule.cookie) for rule in mine}
            parts.append(
                (name, number, mine, tuple(r for r in lost if (r.table, r.cookie) not in kept))
            )
        return DecisionRules(RuleChange(added, removed), tuple(parts))

    def restrictions(self) -> list[Restriction]:
        return [restriction(each) for each in self.decisions.values()]

    def limits(self, now: float) -> tuple[Meter, ...]:
        """The meters of all hosts that are limited now."""
        envelope = self.policy.envelope or Envelope()
        return limit_meters(self.restrictions(), envelope.rate_limit, now)

    def prepare(self, now: float) -> None:
        """Compile before the first switch asks. A CompileError waits until then."""
        with suppress(CompileError):
            self._compiler = self._compiled(now)
            self._settled()

    def hosts_changed(self) -> None:
        """Call after `hosts` changed: who is in which segment is worked out again."""
        self._bindings = None

    @property
    def bindings(self) -> tuple[Binding, ...]:
        if self._bindings is None:
            self._bindings = self.hosts.bindings()
        return self._bindings

    @property
    def membership(self) -> Membership:
        if self._membership is None:
            self._membership = Membership(self.policy, self.bindings)
        else:
            self._membership = follow(self._membership, self.policy, self.bindings)
        return self._membership

    def view(self, switch: int, ports: Iterable[int]) -> SwitchView:
        return SwitchView(
            switch,
            tuple(sorted(ports)),
            self.fabric.trunks(switch),
            self.fabric.next_ports(switch, self.avoid),
            self.fabric.tree_ports(switch),
        )

    def update(self, now: float) -> Update | None:
        """What changed in the rules of all switches since `rules` or `update` was called before;
        None when that is not known, and each switch's rules must be compared as a whole.

        Hosts that the tables cannot hold are left out until hosts change again; `problem` says so.
        """
        try:
            update = self._advance(now)
        except CompileError as error:
            self._fall_back(error)
            return None
        self._settled()
        return update

    def rules(self, view: SwitchView, now: float, form: Form = STATEFUL) -> tuple[Rule, ...]:
        """The rules that a switch should have, as of the last `update`.

        Raises CompileError where a switch of this form cannot hold them.
        """
        held = self.restrictions()
        if form.target is not SwitchTarget.STATEFUL:
            return rules_for(
                form.target,
                self.policy,
                self.membership,
                view,
                self.bindings,
                now,
                held,
                port_masks=form.port_masks,
            )
        if self._compiler is None:
            try:
                self._compiler = self._compiled(now)
            except CompileError as error:
                if not self._fall_back(error):
                    raise
                self._compiler = self._compiled(now)
            else:
                self._settled()
        return self._compiler.rules(view, now, held, self._feed_rules.rules())

    def _advance(self, now: float) -> Update | None:
        compiler, self._compiler = self._compiler, None
        if compiler is None:
            return None
        kept = self._keep(now)
        update = compiler.update(self.policy, self.membership, self.bindings, now, kept)
        self._compiler = compiler
        return update

    def _settled(self) -> None:
        self._good, self.problem = self.bindings, ""

    def _fall_back(self, error: CompileError) -> bool:
        """Go on with the hosts that rules could be made for; False when there were none."""
        self.problem = str(error)
        self._compiler = None
        if self._good is None or self._good == self._bindings:
            return False
        self._bindings, self._membership = self._good, None
        return True

    def _compiled(self, now: float) -> Compiler:
        return Compiler(self.policy, self.membership, self.bindings, now, self._keep(now))

    def _keep(self, now: float) -> tuple[Intent, ...]:
        """Follow what is kept, as the policy and time have changed."""
        before, policy = self.keeping, self.policy
        self.keeping = Keeping(
            in_force(policy, now), kept_after(before.in_force, policy, before.kept, now)
        )
        if self.keeping.kept:
            kept = {name_number(intent.name): intent.name for intent in self.keeping.kept}
            self.names = {**kept, **self.names}
        return self.keeping.kept

    def let_go(self, number: int) -> None:
        """Forget the kept intents of a number: nobody has used what they let in for a while."""
        kept = tuple(each for each in self.keeping.kept if name_number(each.name) != number)
        self.keeping = Keeping(self.keeping.in_force, kept)


def check_fits(policy: Policy, now: float) -> None:
    """Compile for nobody. Raises CompileError when the tables cannot hold the policy."""
    bindings = declared_bindings(policy)
    Compiler(policy, Membership(policy, bindings), bindings, now)


def digest_of(policy: Policy) -> str:
    """SHA-256 of everything a policy says, for the audit."""
    return hashlib.sha256(repr(policy).encode()).hexdigest()


def restriction(decision: Decision) -> Restriction:
    addresses = tuple(ip_address(each) for each in decision.addresses)
    return Restriction(decision.number, decision.action, addresses, decision.expires)


def by_decision(rules: Iterable[Rule]) -> dict[int, tuple[Rule, ...]]:
    """The rules of machine decisions by the number that their cookie carries."""
    found: dict[int, list[Rule]] = {}
    for rule in rules:
        if category_of(rule.cookie) == Category.DECISION:
            found.setdefault(number_of(rule.cookie), []).append(rule)
    return {number: tuple(each) for number, each in found.items()}
