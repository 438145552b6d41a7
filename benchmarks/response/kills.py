"""SIGKILL of controller and analysis at random points of decisions' lives, on real switches."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.runner import Benchmark, Figure, Target
from mininet_tests.experiments.kills import POLICY, KillReport, KillTrial, forced_alert_controller
from mininet_tests.lab.controller import free_port
from mininet_tests.lab.lab import Lab
from mininet_tests.lab.plan import plan_from_policy
from policies.language.reader import load_policy
from topology.records import Link

KILLS = 200


@cache
def tried() -> KillReport:
    with TemporaryDirectory(prefix="septum-") as name:
        directory = Path(name)
        policy = directory / "policy.yaml"
        policy.write_text(POLICY)
        port = free_port()
        plan = plan_from_policy(load_policy([policy]), [Link(1, 9, 2, 9)])
        (directory / "state").mkdir()
        with Lab(plan, f"tcp:127.0.0.1:{port}") as lab:
            controller = forced_alert_controller(policy, directory / "state", port, 2)
            try:
                controller.start()
                controller.wait_ready(60)
                return KillTrial(lab, controller, seed=7).run(KILLS)
            finally:
                controller.kill()


def kills() -> Figure:
    tally = tried()
    what = ", ".join(f"{count} of {name}" for name, count in sorted(tally.kills.items()))
    return Figure(sum(tally.kills.values()), f"{what}; agreed again within {tally.slowest:.1f} s")


def disagreements() -> Figure:
    tally = tried()
    states = ", ".join(f"{count} {state}" for state, count in sorted(tally.states.items()))
    first = f"; first: {tally.problems[0]}" if tally.problems else ""
    note = f"{tally.decisions} decisions ({states}), {tally.answered} promises to people{first}"
    return Figure(len(tally.problems), note)


BENCHMARKS = (
    Benchmark("response.kills", Target(">=", float(KILLS)), kills),
    Benchmark("response.kills_disagreements", Target("==", 0.0), disagreements),
)
