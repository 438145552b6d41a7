"""Fixtures for live tests: a lab from policy text, a controller on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from mininet_tests.lab.controller import Controller, ControllerOptions, free_port
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import LabPlan, plan_from_policy
from policies.language.reader import load_policy
from topology.records import Link

MakeLab = Callable[..., Lab]
MakeController = Callable[..., Controller]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MakeLab]:
    """``lab(policy_text, links=None) -> Lab``: the policy's hosts on real switches.

    The switches look for a controller on a free port; the `controller` fixture
    starts one there. Without one they forward nothing.
    """
    with ExitStack() as stack:

        def make(policy_text: str, links: Sequence[Link] | None = None) -> Lab:
            path = tmp_path / "policy.yaml"
            path.write_text(policy_text)
            plan = plan_from_policy(load_policy([path]), links)
            return stack.enter_context(Lab(plan, f"tcp:127.0.0.1:{free_port()}"))

        yield make


@pytest.fixture
def plain_lab() -> Iterator[Callable[[LabPlan], Lab]]:
    """``plain_lab(plan) -> Lab`` whose switches forward like ordinary ones, with no controller."""
    with ExitStack() as stack:

        def make(plan: LabPlan) -> Lab:
            network = stack.enter_context(Lab(plan))
            for dpid in plan.switches:
                network.ofctl(dpid, "add-flow", "actions=NORMAL")
            return network

        yield make


@pytest.fixture
def controller(tmp_path: Path, lab: MakeLab) -> Iterator[MakeController]:
    """``controller(lab, adapt=True, extra=()) -> Controller``, ready, on the lab's own policy.

    ``port`` is where it listens, if not where the lab's switches look for it; ``name`` its state
    directory's.
    Its state directory is ``controller.options.state``; `Controller` has ``pid``,
    ``log``, ``kill()`` (SIGKILL), ``stop()`` and ``start()``.
    """
    with ExitStack() as stack:

        def make(
            network: Lab,
            adapt: bool = True,
            extra: tuple[str, ...] = (),
            port: int = 0,
            name: str = "state",
        ) -> Controller:
            assert network.controller is not None
            port = port or int(network.controller.rpartition(":")[2])
            state = tmp_path / name
            state.mkdir(exist_ok=True)
            options = ControllerOptions(
                tmp_path / "policy.yaml", state, port, len(network.plan.switches), adapt, extra
            )
            running = Controller(options, state)
            stack.callback(running.kill)
            running.start()
            running.wait_ready()
            return running

        yield make
