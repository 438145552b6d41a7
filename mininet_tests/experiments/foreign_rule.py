"""How long a rule that somebody adds to a switch by hand stays there, and what it lets pass."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from mininet_tests.experiments.outage import POLICY
from mininet_tests.experiments.updates import start_stream
from mininet_tests.lab.lab import Lab

__all__ = ["AT_MOST", "POLICY", "Stay", "stays"]

AT_MOST = 0.3  # seconds
LONGEST = 20.0  # seconds
PAUSE = 0.7  # seconds between two, so that no comparison is at the same point each time
DENIED, RATE = "4444", 1_000  # datagrams a second, from `a1` to `a2`
RULE = f"table=0,priority=60000,in_port=1,udp,tp_dst={DENIED}"


@dataclass(frozen=True, slots=True)
class Stay:
    """``seconds`` from adding each rule until it was gone; ``passed`` are the denied datagrams,
    one a millisecond, that all of them let pass, ``sent`` those that were sent."""

    seconds: tuple[float, ...]
    passed: int
    sent: int


def stays(lab: Lab, times: int, switch: int = 1) -> Stay:
    """Add a rule that passes denied traffic, wait until it is gone, and again."""
    start_stream(lab.host("a1"), "send", "10.0.0.2", "9", "10", "0.3").communicate(timeout=20)
    whole = times * (PAUSE + AT_MOST) + 2.0
    heard = start_stream(
        lab.host("a2"), "receive", "10.0.0.2", DENIED, str(whole + 1.0), ready=True
    )
    sender = start_stream(lab.host("a1"), "send", "10.0.0.2", DENIED, str(RATE), str(whole))
    time.sleep(0.5)
    seconds = tuple(_stay(lab, switch) for _ in range(times))
    sent = json.loads(sender.communicate(timeout=60)[0])
    return Stay(seconds, json.loads(heard.communicate(timeout=60)[0])[DENIED], sent)


def _stay(lab: Lab, switch: int) -> float:
    time.sleep(PAUSE)
    lab.ofctl(switch, "add-flow", f"{RULE},actions=output:2")
    since = time.monotonic()
    shown = RULE.replace("priority=60000,", "")
    while DENIED in lab.ofctl(switch, "dump-flows", shown):
        if time.monotonic() - since > LONGEST:
            break
        time.sleep(0.005)
    return time.monotonic() - since
