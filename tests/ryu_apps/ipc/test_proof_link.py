"""The link to a real prover: slow answers, one that died, and one that cannot start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from policies.compiler import SwitchView
from policies.compiler.targets import Form
from policies.language.reader import read_policy
from response.ipc.messages import ProofWanted
from response.state.policy_versions import Versions
from ryu_apps.ipc import proof_link
from ryu_apps.ipc.proof_link import ProofLink, ProverEnded

EXAMPLE = Path(__file__).parents[3] / "policies/examples/shop.yaml"


def about(number: int, state: Path) -> ProofWanted:
    contents = read_policy([EXAMPLE]).contents
    version = Versions(state).keep([str(EXAMPLE)], contents, "ana", 1.0).number
    return ProofWanted(number, version, 2.0, ((SwitchView(1, tuple(range(1, 9))), Form()),))


def test_answers_come_late_and_after_its_end_another_is_started(tmp_path: Path) -> None:
    link = ProofLink(tmp_path)
    try:
        assert link.ask(about(1, tmp_path), 0.0) is None, "it only starts"
        found = link.ask(about(2, tmp_path), 60.0)
        assert found is not None and found.number == 2 and found.holds
        assert link.pid is not None and link.starts == 1
        os.kill(link.pid, signal.SIGKILL)
        found = link.ask(about(3, tmp_path), 60.0)
        assert found is not None and found.number == 3 and link.starts == 2
    finally:
        link.close()
    assert link.pid is None


def test_one_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_link, "MODULE", "proving.no_such_module")
    link = ProofLink(tmp_path)
    with pytest.raises(ProverEnded, match="the prover ended"):
        link.ask(about(1, tmp_path), 30.0)
    link.close()
