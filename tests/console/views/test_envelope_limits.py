"""What the limits of machine decisions come to for each segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.views.envelope_limits import SegmentLimit, limit_lines, limits_data, segment_limits
from policies.language.reader import load_policy
from policies.model import Policy
from policies.semantics.membership import Membership

HEAD = "apiVersion: septum/v1\nkind: SegmentPolicy\nmetadata: {name: p}\nhosts:\n"


def policy(folder: Path, adaptive: str, hosts: int = 8, adapt: str = "auto") -> Policy:
    lines = [
        f"  c{n}: {{mac: '02:00:00:00:00:{n:02x}', ip: [10.0.0.{n}], labels: {{role: pc}}}}"
        for n in range(1, hosts + 1)
    ]
    path = folder / "p.yaml"
    segments = f"\nsegments:\n  pcs: {{members: [{{labels: {{role: pc}}}}], adapt: {adapt}}}\n"
    path.write_text(HEAD + "\n".join(lines) + segments + "defaults: {}\n" + adaptive)
    return load_policy([str(path)])


def test_a_share_of_eight_hosts_is_one_whatever_max_hosts_says(tmp_path: Path) -> None:
    found = policy(tmp_path, "adaptive: {actions: [quarantine], max_hosts: 5}\n")
    assert segment_limits(found, Membership(found)) == (SegmentLimit("pcs", 8, 1, "max_share"),)
    assert list(limit_lines(found, Membership(found))) == [
        "adaptive: not written, so by default: max_share 0.2, ttl 900s",
        "  pcs: machines block at most 1 of 8 hosts at once "
        "(max_share 0.2, whatever max_hosts 5 says)",
    ]


@pytest.mark.parametrize(
    ("adaptive", "hosts", "at_once", "by"),
    [
        ("{actions: [isolate], max_hosts: 1}", 100, 1, "max_hosts"),
        ("{actions: [isolate], max_hosts: 5, max_share: 1}", 4, 4, "max_share"),
        ("{actions: [isolate], max_hosts: 3, max_share: 0.5}", 10, 3, "max_hosts"),
    ],
)
def test_the_smaller_of_both_limits_counts(
    tmp_path: Path, adaptive: str, hosts: int, at_once: int, by: str
) -> None:
    found = policy(tmp_path, f"adaptive: {adaptive}\n", hosts)
    assert segment_limits(found, Membership(found)) == (SegmentLimit("pcs", hosts, at_once, by),)


def test_what_does_not_matter_is_not_said(tmp_path: Path) -> None:
    written = "adaptive: {actions: [isolate], max_hosts: 1, max_share: 0.5, ttl: 5m}\n"
    found = policy(tmp_path, written, adapt="propose")
    assert list(limit_lines(found, Membership(found))) == []
    alerts = policy(tmp_path, "adaptive: {max_hosts: 2}\n")
    assert list(limit_lines(alerts, Membership(alerts))) == [
        "adaptive: not written, so by default: actions [alert]"
    ]
    limited = policy(tmp_path, "adaptive: {actions: [rate_limit], ttl: 5m}\n")
    data = limits_data(limited, Membership(limited))
    assert data == {"defaults": {"rate_limit": "100pps"}, "segments": []}
    none = policy(tmp_path, "")
    assert (limits_data(none, Membership(none)), list(limit_lines(none, Membership(none)))) == (
        None, [],
    )  # fmt: skip
