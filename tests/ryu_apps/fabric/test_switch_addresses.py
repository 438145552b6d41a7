"""The addresses that no feed may list, as switches connect and leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.openflow_load import LoadSwitch
from ryu_apps.fabric.switch_addresses import KEPT, SwitchAddresses
from tests.support.running_controller import running, status, until

pytestmark = pytest.mark.threat("own-addresses")
HANDSHAKE = (0, 2, 5, 18)  # hello, echo, features, port descriptions


@pytest.mark.thorough
@pytest.mark.timeout(120)
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
        until(controller, 5, lambda: status(controller)["own_addresses"] == ["127.0.0.1"])
        switch.close()
        admitted.close()


def test_an_address_goes_a_while_after_its_switch() -> None:
    own = SwitchAddresses()
    own.connected(1, "192.0.2.1")
    own.connected(2, "192.0.2.2")
    assert own.current([1], 0.0) == ("192.0.2.1",)
    own.left(1, 10.0)
    own.left(2, 10.0)
    assert own.current([], 9.0 + KEPT) == ("192.0.2.1",), "it comes back from there"
    assert own.current([], 11.0 + KEPT) == ()


def test_another_connection_of_a_switch_has_to_be_admitted_too() -> None:
    own = SwitchAddresses()
    own.connected(1, "192.0.2.1")
    assert own.current([1], 0.0) == ("192.0.2.1",)
    own.left(1, 1.0)
    own.connected(1, "192.0.2.9")
    assert own.current([], 2.0) == ("192.0.2.1",)
    assert own.current([1], 3.0) == ("192.0.2.1", "192.0.2.9")
