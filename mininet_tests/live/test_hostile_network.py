"""A rogue switch and three hostile hosts at once: nothing denied passes, nobody is harmed, and all
of it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from mininet_tests.experiments.controlled import controlled
from tests.support.live.hostile_network import KNOWN, LINKS, PINNED, POLICY, attacked

SECONDS = 40.0


@pytest.mark.timeout(180)
@pytest.mark.threat("switch-identity")
@pytest.mark.threat("link-discovery")
@pytest.mark.threat("dhcp-clients")
@pytest.mark.threat("audit-anchor")
def test_hostile_hosts_and_a_rogue_switch_reach_nobody_and_are_reported(tmp_path: Path) -> None:
    pinned = tmp_path / "switches.yaml"
    pinned.write_text(PINNED)
    with controlled(POLICY, LINKS, ("--switches", str(pinned)), run_on=KNOWN) as (lab, controller):
        seen = attacked(lab, controller, SECONDS)
    assert seen.leaked == ()
    assert seen.unreported == ()
    assert not {"web", "db", "pc", "10.0.0.1", "10.0.0.2", "10.0.0.3"} & set(seen.held), seen.held
    assert seen.opened == seen.asked > SECONDS, "an honest client is served all along"
