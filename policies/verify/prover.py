"""The proof for a network, and again after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, groupby

from policies.compiler import RuleChange, SwitchView, Update
from policies.model import Policy
from policies.rules.rule import Rule
from policies.semantics.membership import Membership
from policies.semantics.verdict import Judge
from policies.verify.affected import Moment, StartAnew
from policies.verify.attachment_points import AttachmentPoints
from policies.verify.attempt import Setting
from policies.verify.expect import Expectation
from policies.verify.inactive_rules import awake, unset_marks
from policies.verify.incremental import IncrementalProof
from policies.verify.index import TableIndex
from policies.verify.kinds import Numbering, Ports, Signature
from policies.verify.owners import Owners
from policies.verify.proof import Proof
from policies.verify.ranges import Undecided
from policies.verify.representative_packets import world_of
from policies.verify.shared import Shared
from policies.verify.switch import SwitchProof
from policies.verify.targets import Targets
from policies.verify.wildcard_rules import LARGE, Loose, loose_rules, target_of
from topology.gc_tuning import collection_paused
from topology.records import Binding


class Prover:
    """The rules of several switches against one policy.

    `prove` looks at everything; `update` follows a change and looks at what it
    touches. ``limit`` is the number of counterexamples to look for per switch.
    """

    def __init__(
        self,
        policy: Policy,
        membership: Membership,
        views: Mapping[int, SwitchView],
        bindings: Sequence[Binding],
        now: float,
        limit: int = 1,
    ) -> None:
        self._policy, self._membership, self._views = policy, membership, dict(views)
        self._bindings, self._now, self._limit = bindings, now, limit
        self._places = AttachmentPoints.of(bindings, policy.hosts)
        self._alike = Numbering()
        self._forget()
        self._tables: dict[int, dict[int, TableIndex]] = {}
        self._proof: Proof | None = None
        self._unset = 0

    def _forget(self) -> None:
        self._connecting: list[tuple[TableIndex | None, ...]] = []
        self._shared: list[tuple[tuple[object, ...], Shared]] = []
        self._targets: list[tuple[tuple[object, ...], Targets]] = []
        self._splitting: dict[TableIndex, bool] = {}
        self._following: IncrementalProof | None = None

    @collection_paused()
    def prove(self, rules: Mapping[int, Sequence[Rule]]) -> Proof:
        """Prove the rules of every switch given."""
        indexed: dict[int, list[tuple[Sequence[Rule], TableIndex]]] = {}
        self._unset = unset_marks(chain.from_iterable(rules.values()))
        self._tables = {
            switch: _indexed(awake(rules[switch], self._unset), indexed) for switch in sorted(rules)
        }
        return self._everything()

    def _everything(self) -> Proof:
        self._forget()
        judge = cache(lambda: Judge(self._policy, self._membership))
        done: list[tuple[SwitchProof, frozenset[Signature], Targets]] = []
        for switch, tables in self._tables.items():
            expectation = self._expectation(switch, judge)
            loose = loose_rules(tables)
            ports = Ports(tables, expectation, loose, self._alike)
            kinds = ports.signatures()
            targets = self._targets_of(tables, loose)
            shared = self._shared_of(tables)
            owners = Owners(tables, expectation.view, shared.written(), self._splitting)
            world = world_of(kinds, ports.borrowed, targets, owners, loose, expectation)
            setting = Setting(
                tables,
                expectation,
                shared,
                world,
                loose,
                self._limit,
                self._connecting,
            )
            done.append((SwitchProof(setting), frozenset(kinds.values()), targets))
            done[-1][0].run()
        statistics: dict[str, int] = {}
        for proof, _, _ in done:
            for name, number in proof.statistics.items():
                statistics[name] = statistics.get(name, 0) + number
        found = tuple(example for proof, _, _ in done for example in proof.found)
        unproven = tuple(
            f"switch {proof.expectation.view.switch}: {each}"
            for proof, _, _ in done
            for each in proof.unproven
        )
        if not found and not unproven:
            self._following = IncrementalProof(
                {each[0].expectation.view.switch: each for each in done},
                self._alike,
                judge(),
            )
        return Proof(not found and not unproven, found, unproven, statistics)

    def update(
        self,
        policy: Policy,
        membership: Membership,
        bindings: Sequence[Binding],
        change: Update,
        now: float | None = None,
        views: Mapping[int, SwitchView] | None = None,
    ) -> Proof:
        """Prove again after ``change`` to the rules of the last proof and this other policy.

        Only packets that a changed rule, intent, segment or place can concern are
        looked at; where that cannot be told, or one of them goes wrong, everything is.
        """
        before = (self._policy, self._membership, self._bindings, self._views, self._now)
        self._policy, self._membership, self._bindings = policy, membership, bindings
        self._views = dict(self._views if views is None else views)
        self._now = self._now if now is None else now
        after = (self._policy, self._membership, self._bindings, self._views, self._now)
        if unset_marks(_added(change)) & self._unset != self._unset:
            raise ValueError("a change of decisions or feeds is proven as a whole: use `prove`")
        change = Update(
            _awake(change.everywhere, self._unset),
            {switch: _awake(each, self._unset) for switch, each in change.single.items()},
        )
        everywhere = _change_all(self._tables, change)
        single = {switch: _change_one(self._tables, change, switch) for switch in self._tables}
        try:
            if self._following is None:
                raise StartAnew("the last proof did not hold")
            statistics = self._following.follow(Moment(*before), Moment(*after), everywhere, single)
            return Proof(True, statistics=statistics)
        except (StartAnew, Undecided):
            self._places = AttachmentPoints.of(bindings, policy.hosts)
            return self._everything()

    def _expectation(self, switch: int, judge: Callable[[], Judge]) -> Expectation:
        return Expectation(
            self._policy, self._membership, judge, self._places, self._views[switch], self._now
        )

    def _shared_of(self, tables: Mapping[int, TableIndex]) -> Shared:
        key = tuple(tables.get(table) for table in sorted(LARGE))
        for known, shared in self._shared:
            if all(one is other for one, other in zip(known, key, strict=True)):
                return shared
        shared = Shared(tables, self._policy, self._membership, self._now)
        self._shared.append((key, shared))
        return shared

    def _targets_of(self, tables: Mapping[int, TableIndex], loose: Loose) -> Targets:
        used = [
            table
            for table in sorted(tables)
            if table not in LARGE
            and any(target_of(group) is not None for group in tables[table].groups.values())
        ]
        key: tuple[object, ...] = (
            *(tables[table] for table in used),
            loose.matched,
            tuple(sorted((name, tuple(sorted(v))) for name, v in loose.values.items())),
        )
        for known, targets in self._targets:
            if len(known) == len(key) and all(
                one is other or one == other for one, other in zip(known, key, strict=True)
            ):
                return targets
        targets = Targets(tables, self._places, loose)
        self._targets.append((key, targets))
        return targets


def _added(change: Update) -> Iterator[Rule]:
    yield from change.everywhere.added
    yield from chain.from_iterable(each.added for each in change.single.values())


def _awake(change: RuleChange, unset: int) -> RuleChange:
    return RuleChange(tuple(awake(change.added, unset)), tuple(awake(change.removed, unset)))


def _indexed(
    rules: Sequence[Rule], known: dict[int, list[tuple[Sequence[Rule], TableIndex]]]
) -> dict[int, TableIndex]:
    """The tables, indexed once where several switches have the same."""
    ordered: Iterable[Rule] = rules
    if any(one.table > two.table for one, two in zip(rules, rules[1:], strict=False)):
        ordered = sorted(rules, key=lambda rule: rule.table)
    tables = {}
    for number, group in groupby(ordered, key=lambda rule: rule.table):
        own = list(group)
        alike = known.setdefault(number, [])
        index = next((index for other, index in alike if other == own), None)
        if index is None:
            index = TableIndex(own)
            alike.append((own, index))
        tables[int(number)] = index
    return tables


def _change_all(tables: Mapping[int, dict[int, TableIndex]], change: Update) -> list[Rule]:
    """Change the tables of all switches, a shared one once; the rules that came or went."""
    touched = [*change.everywhere.removed, *change.everywhere.added]
    for removed, rules in ((True, change.everywhere.removed), (False, change.everywhere.added)):
        for rule in rules:
            done: dict[int, TableIndex] = {}
            for own in tables.values():
                table = own.get(rule.table)
                if table is None:
                    table = own[rule.table] = next(iter(done.values()), None) or TableIndex()
                if id(table) not in done:
                    done[id(table)] = table
                    touched += _change(table, rule, removed)
    return touched


def _change_one(
    tables: Mapping[int, dict[int, TableIndex]], change: Update, switch: int
) -> list[Rule]:
    """Change one switch's tables; one that it shares becomes its own first."""
    single = change.single.get(switch)
    if single is None:
        return []
    own, touched = tables[switch], [*single.removed, *single.added]
    for removed, rules in ((True, single.removed), (False, single.added)):
        for rule in rules:
            table = own.get(rule.table)
            if table is None or any(
                table is other.get(rule.table) for n, other in tables.items() if n != switch
            ):
                table = own[rule.table] = TableIndex(() if table is None else table.rules())
            touched += _change(table, rule, removed)
    return touched


def _change(table: TableIndex, rule: Rule, removed: bool) -> list[Rule]:
    if not removed:
        old = table.put(rule)
        return [] if old is None else [old]
    try:
        table.remove(rule)
    except KeyError:
        pass  # as on a switch, where removing what is not there is no error
    return []


def prove(
    policy: Policy,
    membership: Membership,
    view: SwitchView,
    bindings: Sequence[Binding],
    rules: Sequence[Rule],
    now: float,
    limit: int = 1,
) -> Proof:
    """Whether one switch's rules do with every packet what the policy says; up to ``limit``
    counterexamples."""
    return Prover(policy, membership, {view.switch: view}, bindings, now, limit).prove(
        {view.switch: rules}
    )
