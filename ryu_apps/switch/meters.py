"""Meters of one switch: written before rules that use them, and removed after. They cannot be part
of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies.rules.layout import is_connection_meter, is_limit_meter
from policies.rules.rule import Meter
from ryu_apps.openflow import messages

InstalledMeters = dict[int, tuple[int, int]]
"""Rate in packets a second, and burst, by meter number."""


def missing(wanted: Iterable[Meter], installed: Mapping[int, tuple[int, int]]) -> list[Meter]:
    """The meters that are not installed, or with another rate or burst."""
    return [each for each in wanted if installed.get(each.number) != (each.rate, each.burst)]


def unused(wanted: Iterable[Meter], installed: Iterable[int]) -> list[int]:
    """Numbers of installed meters that limit a host whose limit has ended, or connections from a
    port that is none of a host's any more."""
    kept = {meter.number for meter in wanted}
    ours = (each for each in installed if is_limit_meter(each) or is_connection_meter(each))
    return [each for each in ours if each not in kept]


def written(meters: Iterable[Meter], installed: InstalledMeters) -> bytes:
    """OpenFlow messages that write meters, which are taken as installed from now on."""
    data = b""
    for meter in meters:
        known = meter.number in installed
        command = messages.METER_MODIFY if known else messages.METER_ADD
        data += messages.meter_mod(meter, command)
        installed[meter.number] = (meter.rate, meter.burst)
    return data + messages.barrier() if data else b""


def deleted(numbers: Iterable[int], installed: InstalledMeters) -> bytes:
    """OpenFlow messages that delete meters."""
    for number in numbers:
        del installed[number]
    return b"".join(map(messages.meter_delete, numbers))
