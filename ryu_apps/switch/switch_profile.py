"""Which rules a connected switch gets: what it can do, and what the installation says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies.compiler.switches_file import SwitchSetting
from policies.compiler.targets import LOSSES, TABLES, Form, SwitchTarget
from policies.rules.rule import CopyToController, Rule, RuleAction, UseMeter
from ryu_apps.switch.capabilities import Features

LESS: Mapping[SwitchTarget, SwitchTarget] = {
    SwitchTarget.STATEFUL: SwitchTarget.STATELESS,
    SwitchTarget.STATELESS: SwitchTarget.SINGLE,
}


@dataclass(frozen=True, slots=True)
class SwitchProfile:
    """``sizes`` are rules by table, as far as known; ``limits`` what the switch cannot do, in
    words. Without ``bundles`` changes are written rule by rule."""

    form: Form = Form()
    sizes: Mapping[int, int] = field(default_factory=dict)
    bundles: bool = True
    meters: bool = True
    limits: tuple[str, ...] = ()
    description: str = ""

    @property
    def target(self) -> SwitchTarget:
        return self.form.target

    def table_name(self, table: int) -> str:
        known = {int(each): each.name.lower() for each in TABLES[self.target]}
        return known.get(table, str(table))

    @property
    def room(self) -> int | None:
        """Rules that fit whatever their tables."""
        return min(self.sizes.values(), default=None)

    def fitted(self, rules: Iterable[Rule]) -> Iterator[Rule]:
        """The rules as the switch can take them."""
        return iter(rules) if self.meters else map(_unmetered, rules)


def kind_of(features: Features, setting: SwitchSetting) -> SwitchProfile:
    """What is found out, unless the installation's file says otherwise."""
    target = setting.kind or features.target
    form = Form(target, setting.port_masks and (features.port_masks or not features.listed))
    sizes = features.sizes | setting.sizes(target)
    limits = [*LOSSES[target], *features.lacks()]
    if setting.kind is not None and _rank(setting.kind) < _rank(features.target):
        limits.append(
            f"the switches file says {setting.kind}, but it seems to be {features.target}"
        )
    return SwitchProfile(
        form,
        sizes,
        features.bundles,
        features.meters != 0,
        tuple(limits),
        features.description,
    )


def weaker(kind: SwitchProfile, why: str) -> SwitchProfile | None:
    """The kind to try when a switch refuses the rules of this one; None when there is none."""
    target = LESS.get(kind.target)
    if target is None:
        return None
    said = tuple(each for each in kind.limits if each not in LOSSES[kind.target])
    form = replace(kind.form, target=target)
    refused = f"it refused the rules of a {kind.target} switch: {why}"
    return replace(kind, form=form, limits=(*LOSSES[target], *said, refused))


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
