"""The system's clock is moved while both processes run: deadlines and intervals do not notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.openflow_load import LoadSwitch
from console.cli import run
from console.clients.controller import ask_controller
from mininet_tests.lab.controller import free_port
from response.decision import Decision
from response.state.store import Store
from tests.support.running_controller import POLICY
from tests.support.stepped_clock import SteppedController, stepped

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(120), pytest.mark.threat("clock-steps")]

TTL, SHORT_TTL = 900, 14
HOUR, DAY = 3600.0, 86_400.0


def hold(state: Path) -> None:
    """Two decisions, as an earlier run of the analysis made them: one for a quarter of an hour."""
    state.mkdir(mode=0o700, parents=True)
    store = Store.open(state, time.time())
    for number, (target, address, ttl) in enumerate(
        [("web1", "10.0.1.11", TTL), ("web2", "10.0.1.12", SHORT_TTL)], 1
    ):
        store.save_decision(
            Decision(
                f"d{number}", number, time.time(), "quarantine", target, (address,), target,
                "active", ttl, f"a{number}", "seen scanning", "", "septum",
            )
        )  # fmt: skip
    store.close()


def status(controller: SteppedController) -> dict[str, Any]:
    return ask_controller(controller.state, {"do": "status"})


def state_of(controller: SteppedController) -> dict[str, Any]:
    switches: list[dict[str, Any]] = status(controller)["switches"]
    return switches[0]


def until(controller: SteppedController, wanted: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if wanted():
                return
        except Exception:  # it may not listen yet
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, controller.log[-2000:]
        time.sleep(0.05)


def ready(controller: SteppedController) -> None:
    until(controller, lambda: status(controller)["analysis"]["ready"], 40)


def held(controller: SteppedController) -> list[str]:
    """The decisions that both processes hold to."""
    store = Store.open(controller.state, 0.0, create=False)
    try:
        active = {each for each in ("d1", "d2") if store.decision(each).state == "active"}  # type: ignore[union-attr]
        return sorted(active & set(status(controller)["decisions"]))
    finally:
        store.close()


def test_steps_of_the_clock_neither_free_nor_hold_a_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.time()
    hold(tmp_path / "state")
    with stepped(tmp_path, POLICY, free_port()) as controller:
        ready(controller)
        assert held(controller) == ["d1", "d2"]
        for ahead in (TTL + 1.0, DAY, -TTL - 1.0, -HOUR):
            controller.step(ahead)
            time.sleep(0.6)  # several looks at what has expired, in both processes
            assert held(controller)[:1] == ["d1"], f"{ahead} s ahead"
        until(controller, lambda: held(controller) == ["d1"])
        for ahead in (-HOUR, TTL + 1.0):
            controller.stop()
            controller.step(ahead)
            controller.start()
            ready(controller)
            time.sleep(0.6)
            assert held(controller) == ["d1"], "nor does a restart while the clock is wrong"
        assert status(controller)["clock"]["system_ahead"] == pytest.approx(TTL + 1, abs=1)
        assert "the system's clock was put forward by 901 s" in controller.log
        assert run(["status", "--state", str(controller.state)]) == 0
        assert "the system's clock is 901 s ahead of the time" in capsys.readouterr().out
    store = Store.open(tmp_path / "state", 0.0, create=False)
    found = [entry.values()["system_ahead"] for entry in store.audit_entries(kind="clock")]
    times = [entry.ts for entry in store.audit_entries()]
    store.close()
    assert run(["audit", "list", "--state", str(tmp_path / "state"), "--kind", "clock"]) == 0
    assert "put back by 87,301 s; it is 901 s behind" in capsys.readouterr().out
    assert found == [pytest.approx(each, abs=1) for each in (901, DAY, -901, -HOUR, 901)]
    assert began <= min(times) <= max(times) <= time.time()


def test_a_clock_that_is_put_back_stops_no_check(tmp_path: Path) -> None:
    with stepped(tmp_path, POLICY, free_port()) as controller:
        ready(controller)
        switch = LoadSwitch(("127.0.0.1", controller.port))
        switch.connect()
        switch.settle()
        controller.step(-HOUR)
        checks = state_of(controller)["checks"]
        switch.wait(lambda: state_of(controller)["checks"] > checks + 1, 12)
        assert state_of(controller)["checks"] > checks + 1
        switch.close()
