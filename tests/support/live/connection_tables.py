"""The connection tables of the lab's switches, of which the machine has one for all bridges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mininet_tests.lab.machine import said
from tests.support.live.operating import septum

POLICY = """
apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: full}
hosts:
  a: {mac: "02:00:00:00:00:01", ip: [10.0.0.1], switch: 1, port: 1}
  b: {mac: "02:00:00:00:00:02", ip: [10.0.0.2], switch: 2, port: 1}
segments:
  all: {members: [{host: a}, {host: b}], mode: enforce}
intents:
  - {name: everything, from: all, to: all, services: [any]}
defaults: {action: deny, mode: enforce}
"""


def tracked() -> str:
    return said(["ovs-appctl", "dpctl/ct-get-nconns"], timeout=5).strip()


@contextmanager
def at_most(connections: str) -> Iterator[None]:
    """The switches' own limit, which all bridges of this machine share."""
    usual = said(["ovs-appctl", "dpctl/ct-get-maxconns"], timeout=5).strip()
    said(["ovs-appctl", "dpctl/ct-set-maxconns", connections], timeout=5)
    try:
        yield
    finally:
        said(["ovs-appctl", "dpctl/ct-set-maxconns", usual], timeout=5)


def septum_says(state: object, command: str) -> str:
    return septum(command, "--state", str(state)).stdout
