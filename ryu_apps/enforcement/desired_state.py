"""The rules that switches should have, compiled from network, policy, decisions and feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from policies.compiler import CompileError, Compiler, SwitchView, Update, hosts_of
from policies.compiler.targets import Form, SwitchTarget, rules_for
from policies.feed_block import FeedBlock
from policies.model import Envelope, Policy
from policies.rules.rule import Meter, Rule
from policies.semantics.membership import Membership
from policies.semantics.membership_update import follow
from policies.semantics.retained_intents import RetainedIntents
from response.decision import Decision
from ryu_apps.enforcement.decision_state import DecisionState
from ryu_apps.enforcement.policy_state import PolicyState
from ryu_apps.fabric.network_state import NetworkState
from topology.records import Binding, Link

STATEFUL = Form()


class DesiredState:
    """Everything that rules follow from, compiled on demand.

    The network is written by discovery, decisions and feeds by `DecisionState`, the policy here.
    ``problem`` is why the newest hosts are left out of the rules; empty for none.
    """

    def __init__(self, network: NetworkState, policy: PolicyState) -> None:
        self.network = network
        self.policy_state = policy
        self.decision_state = DecisionState()
        self.problem = ""
        self._compiler: Compiler | None = None
        self._membership: Membership | None = None
        self._bindings: tuple[Binding, ...] | None = None
        self._good_bindings: tuple[Binding, ...] | None = None  # that rules could be made for

    @property
    def policy(self) -> Policy:
        return self.policy_state.policy

    def restore(
        self,
        bindings: Iterable[Binding],
        links: Iterable[Link],
        decisions: Iterable[Decision],
        feeds: Iterable[FeedBlock] = (),
        retained: RetainedIntents | None = None,
    ) -> None:
        """Restore the state of an earlier run, as far as it fits the policy."""
        self.decision_state.restore(decisions, feeds)
        self.network.restore_links(links)
        state = self.policy_state
        self._use(PolicyState.of(state.policy, state.files, state.version, retained))
        self.network.hosts.restore(bindings)

    def _use(self, state: PolicyState) -> None:
        self.policy_state = state
        self.network.hosts.declare(*hosts_of(state.policy))
        self.hosts_changed()

    def replace_policy(
        self,
        policy: Policy,
        files: tuple[str, ...],
        version: int,
        now: float,
        check: Callable[[], None] = lambda: None,
    ) -> Update | None:
        """Follow another policy; what that changes, as from `update`.

        Raises CompileError, and changes nothing, when the tables cannot hold it
        or ``check`` raises one.
        """
        before = self.policy_state
        discovered = tuple(self.network.hosts.discovered.values())
        try:
            self._use(PolicyState.of(policy, files, version, before.retained))
            update = self._advance(now)
            if self._compiler is None:
                self._compiler = self._compiled(now)
            check()
        except CompileError:
            self._compiler = None
            self._use(before)
            self.network.hosts.restore(discovered)
            raise
        self._settled()
        return update

    def release_intent(self, number: int) -> None:
        """Forget the retained intents of a number, which no connection has used for a while."""
        self.policy_state = self.policy_state.release(number)

    def limits(self, now: float) -> tuple[Meter, ...]:
        """The meters of all hosts that are limited now."""
        envelope = self.policy.envelope or Envelope()
        return self.decision_state.limit_meters(envelope.rate_limit, now)

    def prepare(self, now: float) -> None:
        """Compile before the first switch asks. A CompileError waits until then."""
        with suppress(CompileError):
            self._compiler = self._compiled(now)
            self._settled()

    def hosts_changed(self) -> None:
        """Call after the network's hosts changed: memberships are worked out again."""
        self._bindings = None

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The hosts that rules are made for."""
        if self._bindings is None:
            self._bindings = self.network.hosts.bindings()
        return self._bindings

    @property
    def membership(self) -> Membership:
        if self._membership is None:
            self._membership = Membership(self.policy, self.bindings)
        else:
            self._membership = follow(self._membership, self.policy, self.bindings)
        return self._membership

    def update(self, now: float) -> Update | None:
        """What changed in the rules of all switches since `rules` or `update` was called before;
        None when that is not known, and each switch's rules must be compared as a whole.

        Hosts that the tables cannot hold are left out until hosts change again, with a `problem`.
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
        restrictions = self.decision_state.restrictions()
        if form.target is not SwitchTarget.STATEFUL:
            return rules_for(
                form.target,
                self.policy,
                self.membership,
                view,
                self.bindings,
                now,
                restrictions,
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
        return self._compiler.rules(view, now, restrictions, self.decision_state.feed_rules())

    def _advance(self, now: float) -> Update | None:
        compiler, self._compiler = self._compiler, None
        if compiler is None:
            return None
        self.policy_state = self.policy_state.retain(now)
        retained = self.policy_state.retained.retained
        update = compiler.update(self.policy, self.membership, self.bindings, now, retained)
        self._compiler = compiler
        return update

    def _settled(self) -> None:
        self._good_bindings, self.problem = self.bindings, ""

    def _fall_back(self, error: CompileError) -> bool:
        """Go on with the last hosts that rules could be made for; False when there were none."""
        self.problem = str(error)
        self._compiler = None
        if self._good_bindings is None or self._good_bindings == self._bindings:
            return False
        self._bindings, self._membership = self._good_bindings, None
        return True

    def _compiled(self, now: float) -> Compiler:
        self.policy_state = self.policy_state.retain(now)
        retained = self.policy_state.retained.retained
        return Compiler(self.policy, self.membership, self.bindings, now, retained)
