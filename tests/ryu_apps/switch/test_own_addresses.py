"""The addresses that no feed may list, as switches connect and leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.openflow_load import LoadSwitch
from tests.support.running_controller import running, status, until

pytestmark = pytest.mark.threat("own-addresses")
HANDSHAKE = (0, 2, 5, 18)  # hello, echo, features, port descriptions


@pytest.mark.thorough
@pytest.mark.timeout(120)
@pytest.mark.xfail(strict=True, reason="whoever shakes hands adds an address, for good")
def test_an_address_is_ours_when_its_switch_has_been_admitted(tmp_path: Path) -> None:
    with running(tmp_path) as controller:
        until(controller, 20, lambda: status(controller))
        switch = LoadSwitch(("127.0.0.1", controller.options.of_port))
        answer = switch.switch.answer

        def only_handshake(data: bytes) -> list[tuple[int, int, bytes]]:
            return list(answer(data)) if data[1] in HANDSHAKE else []

        switch.switch.answer = only_handshake  # type: ignore[method-assign]
        switch.connect()
        switch.wait(lambda: bool(status(controller)["switches"]), 10)
        assert status(controller)["switches"]
        assert status(controller).get("own_addresses") == []
        admitted = LoadSwitch(("127.0.0.1", controller.options.of_port), dpid=2)
        admitted.connect()
        admitted.settle()
        assert status(controller).get("own_addresses") == ["127.0.0.1"]
        switch.close()
        admitted.close()
