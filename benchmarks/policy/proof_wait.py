"""How long a person waits for the proof of one intent more in the pinned policy.

The controller reads a policy that is to be applied beside its proof, and needs it read in any case:
what counts is how much longer it takes with the proof.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.policy.generator import generate
from benchmarks.runner import Benchmark, Figure, Target, median
from policies.compiler import SwitchView, declared_bindings
from policies.compiler.targets import Form
from policies.language.reader import read_policy
from policies.model import Policy
from response.ipc.messages import ProofWanted
from response.state.policy_versions import Versions
from ryu_apps.ipc.proof_link import ProofLink
from ryu_apps.runtime import in_thread
from topology.fabric import Fabric
from topology.records import Link

SWITCHES = 8
TIMES = 6
PATIENCE = 300.0  # seconds for the first proof, of everything
MORE = "  - {{name: one-more, from: [{}], to: [{}], services: tcp/4711}}\n"


def wait() -> Figure:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = generate(folder, switches=SWITCHES)
        versions = Versions(folder / "state")
        first = _keep(versions, path)
        policy = versions.version(first).policy()
        _with_one_more(path, policy)
        second = _keep(versions, path)
        switches = _switches(policy)
        link = ProofLink(folder / "state")
        waits = []
        try:
            for number in range(1 + TIMES):
                version = (first, second)[number % 2]
                alone = _seconds_to_read(versions, version)
                begun = time.monotonic()
                read = in_thread(partial(_seconds_to_read, versions, version))
                found = link.ask(ProofWanted(number, version, 0.0, switches), PATIENCE)
                read()
                spent = time.monotonic() - begun
                if found is None or not found.holds:
                    raise RuntimeError(f"version {version} is not proven: {found}")
                waits.append(1000 * (spent - alone))
        finally:
            link.close()
    return median(waits[1:])  # the first one is of everything


def _keep(versions: Versions, path: Path) -> int:
    result = read_policy([path])
    return versions.keep([str(path)], result.contents, "benchmark", 1.0).number


def _with_one_more(path: Path, policy: Policy) -> None:
    """Another intent at the end of the list of them, behind which the defaults stand."""
    before, defaults, after = path.read_text(encoding="utf-8").rpartition("defaults:")
    like = policy.intents[100]
    more = MORE.format(", ".join(like.sources), ", ".join(like.targets))
    path.write_text(before + more + defaults + after, encoding="utf-8")


def _seconds_to_read(versions: Versions, number: int) -> float:
    begun = time.monotonic()
    versions.version(number).policy()
    return time.monotonic() - begun


def _switches(policy: Policy) -> tuple[tuple[SwitchView, Form], ...]:
    bindings = declared_bindings(policy)
    fabric = Fabric.of(Link(n, 20_000 + n, n + 1, 30_000 + n) for n in range(1, SWITCHES))
    return tuple(
        (
            SwitchView(
                number,
                tuple(sorted({each.port for each in bindings if each.switch == number})),
                fabric.trunks(number),
                fabric.next_ports(number),
            ),
            Form(),
        )
        for number in range(1, SWITCHES + 1)
    )


BENCHMARKS = (Benchmark("policy.verify_apply_wait_ms", Target("<=", 100.0, "ms"), wait),)
