"""Options for switches and cables: --switches and --link."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from console.errors import CommandError
from policies.compiler import SwitchView
from policies.compiler.switches_file import Switches, SwitchSetting, link, read_switches
from policies.language.errors import printable
from policies.model import Policy
from topology.fabric import Fabric
from topology.records import Link

SwitchesFile = Annotated[
    str | None,
    typer.Option(
        "--switches",
        help="File with each switch's kind, its table sizes and the cables between them.",
    ),
]
Links = Annotated[
    list[str] | None,
    typer.Option("--link", help="A cable between switches, SWITCH:PORT=SWITCH:PORT; repeatable."),
]


@dataclass(frozen=True, slots=True)
class DescribedSwitches:
    """The switches as a file and options describe them; no running controller is needed."""

    settings: Switches
    fabric: Fabric

    @classmethod
    def of(cls, path: str | None, links: Iterable[str] | None) -> DescribedSwitches:
        settings = switches_at(path)
        return cls(settings, Fabric.of((*settings.links, *map(_link, links or ()))))

    def setting(self, switch: int) -> SwitchSetting:
        return self.settings.of(switch)

    def known(self, policy: Policy) -> tuple[int, ...]:
        """The switches that a policy declares hosts on, that have a cable or settings."""
        declared = {host.switch for host in policy.hosts if host.switch is not None}
        linked = {end for each in self.fabric.links for end in (each.switch, each.peer_switch)}
        return tuple(sorted({*declared, *linked, *self.settings.own}))

    def view(self, policy: Policy, switch: int) -> SwitchView:
        """A switch with the ports that the policy declares and its cables."""
        ports = {h.port for h in policy.hosts if h.switch == switch and h.port is not None}
        trunks = self.fabric.trunks(switch)
        ways = self.fabric.next_ports(switch)
        return SwitchView(switch, tuple(sorted(ports | trunks)), trunks, ways)


def switches_at(path: str | None) -> Switches:
    """The settings in a file, or none; raises PolicyError for one that is not right."""
    if path is None:
        return Switches()
    if "\0" in path or not Path(path).is_file():
        raise CommandError(f"--switches {printable(path)}: no such file")
    return read_switches(path)


def _link(text: str) -> Link:
    try:
        return link(text)
    except ValueError as error:
        raise CommandError(f"--link: {error}") from error
