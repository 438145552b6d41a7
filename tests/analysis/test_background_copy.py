from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from analysis.background_copy import BackgroundCopy
from analysis.process import lock_state


def test_a_copy_works_on_the_memory_of_its_beginning() -> None:
    memory = [b"before"]
    copy = BackgroundCopy(lambda: b"".join(memory))
    memory[0] = b"after"
    assert copy.result(wait=True) == (True, b"before")


def test_nobody_waits_for_it() -> None:
    copy = BackgroundCopy(lambda: time.sleep(0.3) or b"late")  # type: ignore[func-returns-value]
    begun = time.monotonic()
    assert copy.result() == (False, None)
    assert time.monotonic() - begun < 0.2
    assert copy.result(wait=True) == (True, b"late")


def test_a_copy_that_fails_says_so_and_ends_quietly() -> None:
    def fail() -> bytes:
        raise ValueError

    assert BackgroundCopy(fail).result(wait=True) == (True, None)


@pytest.mark.threat("heartbeat")
@pytest.mark.parametrize("wait", [False, True])
def test_one_that_hangs_is_given_up_in_time(wait: bool) -> None:
    copy = BackgroundCopy(lambda: time.sleep(60) or b"", seconds=0.2)  # type: ignore[func-returns-value]
    begun = time.monotonic()
    while not (found := copy.result(wait))[0]:
        time.sleep(0.01)
    assert found == (True, None)
    assert 0.2 <= time.monotonic() - begun < 10


def test_it_lets_go_of_its_parents_sockets() -> None:
    ours, theirs = socket.socketpair()
    copy = BackgroundCopy(lambda: time.sleep(0.3) or b"", (theirs.fileno(),))  # type: ignore[func-returns-value]
    theirs.close()
    ours.settimeout(0.2)
    assert ours.recv(1) == b""
    assert copy.result(wait=True)[0]
    ours.close()


def test_a_process_that_is_killed_leaves_its_lock_to_the_next_one_not_to_its_children(
    tmp_path: Path,
) -> None:
    lock = lock_state(tmp_path)
    copy = BackgroundCopy(lambda: time.sleep(1.0) or b"", (lock,))  # type: ignore[func-returns-value]
    time.sleep(0.1)
    os.close(lock)  # as the end of the process does
    begun = time.monotonic()
    os.close(lock_state(tmp_path))
    assert time.monotonic() - begun < 0.5
    copy.kill()
