from __future__ import annotations

import pytest

from ryu_apps.ipc.restart_pause import RestartPause

pytestmark = pytest.mark.threat("disk")


def test_a_process_that_never_gets_to_work_is_started_less_and_less_often() -> None:
    pause = RestartPause(1.0)
    assert [pause.after(0.5, False) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause.after(10.0, True) == 1.0, "it worked: this is another trouble"
    assert [pause.after(0.5, True), pause.after(9.0, False)] == [2.0, 4.0]
