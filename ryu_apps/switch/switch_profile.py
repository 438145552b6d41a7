"""Which rules a connected switch gets, by its capabilities and the switches file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies.compiler.switches_file import SwitchSetting
from policies.compiler.targets import LOSSES, TABLES, Form, SwitchTarget
from policies.rules.layout import CONNECTION_TABLE, RuleTable, connection_rate
from policies.rules.rule import CopyToController, Rule, RuleAction, UseMeter
from ryu_apps.switch.capabilities import SwitchCapabilities

LESS: Mapping[SwitchTarget, SwitchTarget] = {
    SwitchTarget.STATEFUL: SwitchTarget.STATELESS,
    SwitchTarget.STATELESS: SwitchTarget.SINGLE,
}


@dataclass(frozen=True, slots=True)
class SwitchProfile:
    """``sizes`` are rules by table, as far as known; ``limits`` what the switch cannot do, in
    words. ``connection_rate`` is how many new connections a port may begin a second. Without
    ``bundles`` changes are written rule by rule."""

    form: Form = Form()
    sizes: Mapping[int, int] = field(default_factory=dict)
    bundles: bool = True
    meters: bool = True
    connection_rate: int = connection_rate(CONNECTION_TABLE)
    limits: tuple[str, ...] = ()
    description: str = ""

    @property
    def target(self) -> SwitchTarget:
        return self.form.target

    def table_name(self, table: int) -> str:
        known = {int(each): each.name.lower() for each in TABLES[self.target]}
        return known.get(table, str(table))

    @property
    def watched_tables(self) -> tuple[int, ...]:
        """Tables in which every change by others matters: all but that of the rules which a
        switch learns itself, a connection each."""
        learned = (RuleTable.COUNT,) if self.target is SwitchTarget.STATEFUL else ()
        return tuple(int(table) for table in TABLES[self.target] if table not in learned)

    @property
    def room(self) -> int | None:
        """Rules that fit whatever their tables."""
        return min(self.sizes.values(), default=None)

    def fitted(self, rules: Iterable[Rule]) -> Iterator[Rule]:
        """The rules as the switch can take them."""
        return iter(rules) if self.meters else map(_unmetered, rules)


def profile_of(capabilities: SwitchCapabilities, setting: SwitchSetting) -> SwitchProfile:
    """The profile that a switch's capabilities make, unless the switches file sets another."""
    target = setting.kind or capabilities.target
    form = Form(target, setting.port_masks and (capabilities.port_masks or not capabilities.listed))
    sizes = capabilities.sizes | setting.sizes(target)
    limits = [*LOSSES[target], *capabilities.lacks()]
    if capabilities.meters == 0 and target is SwitchTarget.STATEFUL:
        limits.append("no meters for new connections: one host can fill its connection table")
    if setting.kind is not None and _rank(setting.kind) < _rank(capabilities.target):
        limits.append(
            f"the switches file sets {setting.kind}, but it seems to be {capabilities.target}"
        )
    return SwitchProfile(
        form,
        sizes,
        capabilities.bundles,
        capabilities.meters != 0,
        connection_rate(setting.connection_table),
        tuple(limits),
        capabilities.description,
    )


def weaker(profile: SwitchProfile, why: str) -> SwitchProfile | None:
    """The profile for a switch that lacks what the rules of this one need; None when there is
    none."""
    target = LESS.get(profile.target)
    if target is None:
        return None
    kept = tuple(each for each in profile.limits if each not in LOSSES[profile.target])
    form = replace(profile.form, target=target)
    refused = f"it refused the rules of a {profile.target} switch: {why}"
    return replace(profile, form=form, limits=(*LOSSES[target], *kept, refused))


def _rank(target: SwitchTarget) -> int:
    return list(SwitchTarget).index(target)


def _unmetered(rule: Rule) -> Rule:
    return replace(rule, actions=tuple(_without_meters(rule.actions)))


def _without_meters(actions: Iterable[RuleAction]) -> Iterator[RuleAction]:
    for action in actions:
        if isinstance(action, CopyToController):
            yield replace(action, meter=0)
        elif not isinstance(action, UseMeter):
            yield action
