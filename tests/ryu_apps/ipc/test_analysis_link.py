"""The link to the analysis with a real child process: order, restarts, and gaps that are counted.

The link runs in green threads over a patched standard library, so every scenario runs in a Python
process of its own; what it asserts there fails the test here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from response.ipc.messages import PolicyApplied, RecordsSeen
    from ryu_apps.ipc.analysis_link import AnalysisLink

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0


class RunningLink:
    """A link that runs, what its child wrote down, and the replies that came back."""

    def __init__(self, directory: Path, module: str = "tests.support.recording_analysis") -> None:
        from response.ipc.messages import Reply
        from ryu_apps.ipc.analysis_link import AnalysisLink, AnalysisProgram
        from ryu_apps.runtime import hub
        from ryu_apps.supervision import Supervisor

        self._record = directory / "record"
        self._hub = hub
        self.replies: list[Reply] = []
        program = AnalysisProgram((str(self._record),), module, restart_after=0.05)
        self.link: AnalysisLink = AnalysisLink(
            program, lambda: [policy("greeting")], self.replies.append, Supervisor()
        )
        self.thread = hub.spawn(self.link.serve)

    @property
    def received(self) -> list[dict[str, Any]]:
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text().splitlines()]

    def until(self, wanted: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < end, self.received[-5:]
            self._hub.sleep(0.01)

    def digests(self) -> list[str]:
        return [each["digest"] for each in self.received if "digest" in each]


def policy(digest: str) -> PolicyApplied:
    from response.ipc.messages import PolicyApplied

    return PolicyApplied(1.0, (), digest)


def seen(number: int) -> RecordsSeen:
    from response.ipc.messages import RecordsSeen
    from topology.records import FlowRecord

    return RecordsSeen((FlowRecord(float(number), "10.0.0.1", "10.0.0.2", "tcp"),))


def greeted_first_and_in_order(directory: Path) -> None:
    running = RunningLink(directory)
    for message in (seen(1), policy("one"), seen(2), policy("two")):
        running.link.send(message)
    running.until(lambda: running.digests() == ["greeting", "one", "two"])
    assert [each["ts"] for each in running.received if "ts" in each] == [[1.0], [2.0]]
    running.until(lambda: running.link.ready)
    assert [type(reply).__name__ for reply in running.replies] == ["Ready"]
    assert running.link.restarts == 0
    running.link.close()


def killed_and_started_again(directory: Path) -> None:
    running = RunningLink(directory)
    running.until(lambda: running.link.ready and running.received)
    first = running.link.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    running.until(lambda: running.link.restarts == 1 and running.link.ready)
    running.link.send(policy("after"))
    running.until(lambda: running.digests() == ["greeting", "greeting", "after"])
    assert len({each["pid"] for each in running.received}) == 2
    assert not alive(first), "the first one is reaped"
    running.link.close()


def dies_between_messages(directory: Path) -> None:
    running = RunningLink(directory)
    running.until(lambda: running.link.ready)
    running.link.send(policy("die"))
    running.until(lambda: running.link.restarts == 1)
    for number in range(50):
        running.link.send(policy(f"p{number}"))
    running.until(lambda: "p49" in running.digests())
    after = running.digests()[running.digests().index("die") + 1 :]
    assert after == ["greeting", *(f"p{number}" for number in range(50))], "none is dropped"
    running.link.close()


def nonsense_ends_it(directory: Path) -> None:
    running = RunningLink(directory)
    running.until(lambda: running.link.ready)
    running.link.send(policy("nonsense"))
    running.until(lambda: running.link.restarts == 1 and running.link.ready)
    running.link.send(policy("after"))
    running.until(lambda: running.digests()[-1:] == ["after"])
    running.link.close()


def a_gap_is_counted(directory: Path) -> None:
    from ryu_apps.ipc.outbox import MAX_EVIDENCE

    running = RunningLink(directory)
    running.until(lambda: running.link.ready and running.received)
    assert running.link.pid is not None
    os.kill(running.link.pid, signal.SIGSTOP)
    sent = 2 * MAX_EVIDENCE
    for number in range(sent):
        running.link.send(seen(number))
        if number % 1000 == 0:
            running._hub.sleep(0)
    running.link.send(policy("last"))
    assert running.link.outbox.lost_in_all > 0
    os.kill(running.link.pid, signal.SIGCONT)
    running.until(lambda: running.digests()[-1:] == ["last"])
    numbers = [ts for each in running.received if "ts" in each for ts in each["ts"]]
    lost = sum(each["lost"] for each in running.received if "lost" in each)
    assert lost == running.link.outbox.lost_in_all
    assert len(numbers) + lost == sent
    assert numbers == sorted(set(numbers)) and numbers[-1] == sent - 1, "the oldest are dropped"
    running.link.close()


def too_large_a_value_is_left_out(directory: Path) -> None:
    from response.ipc.messages import RecordsSeen
    from topology.records import FlowRecord

    running = RunningLink(directory)
    running.until(lambda: running.link.ready)
    large = FlowRecord(2.0, "10.0.0.1", "10.0.0.2", "tcp", intent="n" * 100_000_000)
    running.link.send(seen(1))
    running.link.send(RecordsSeen((large,)))
    running.link.send(policy("n" * 100_000_000))
    running.link.send(seen(3))
    running.link.send(policy("after"))
    running.until(lambda: running.digests() == ["greeting", "after"])
    running.link.send(seen(4))
    running.until(lambda: any(4.0 in each.get("ts", ()) for each in running.received))
    records = [each for each in running.received if each["type"] == "RecordsSeen"]
    assert [ts for each in records for ts in each["ts"]] == [1.0, 3.0, 4.0]
    assert sum(each["lost"] for each in records) == running.link.outbox.lost_in_all == 1
    assert running.link.outbox.too_large == 1
    assert running.link.restarts == 0
    running.link.close()


def left_out_by_the_analysis(directory: Path) -> None:
    running = RunningLink(directory)
    running.until(lambda: running.link.ready)
    running.link.send(policy("left out"))
    running.until(lambda: running.link.outbox.too_large == 3)
    assert [type(reply).__name__ for reply in running.replies] == ["Ready"]
    running.link.close()


def closed_for_good(directory: Path) -> None:
    running = RunningLink(directory)
    running.until(lambda: running.link.ready)
    child = running.link.pid
    assert child is not None
    running.link.close()
    assert not alive(child), "it ends when its socket closes"
    running._hub.sleep(0.5)
    assert running.link.restarts == 0 and running.link.pid == child


def a_child_that_never_starts_is_tried_again(directory: Path) -> None:
    running = RunningLink(directory, module="no_such_module")
    running.until(lambda: running.link.restarts >= 2)
    assert not running.link.ready
    running.link.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "scenario",
    [
        greeted_first_and_in_order,
        killed_and_started_again,
        dies_between_messages,
        nonsense_ends_it,
        a_gap_is_counted,
        pytest.param(too_large_a_value_is_left_out, marks=pytest.mark.threat("message-size")),
        pytest.param(left_out_by_the_analysis, marks=pytest.mark.threat("message-size")),
        closed_for_good,
        a_child_that_never_starts_is_tried_again,
    ],
)
def test_the_link(scenario: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, scenario.__name__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    from ryu_apps.runtime import patch_standard_library

    patch_standard_library()
    globals()[sys.argv[1]](Path(sys.argv[2]))
