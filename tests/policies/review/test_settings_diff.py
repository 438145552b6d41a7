"""What changes between two policies although no verdict between two addresses does."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.cli import run
from policies.language.reader import load_policy
from policies.review.settings_diff import SettingChange, setting_changes

BASE = """apiVersion: septum/v1
kind: SegmentPolicy
metadata: {name: p}
hosts: {a: {ip: 10.0.0.1}, b: {ip: 10.0.0.2}}
segments: {a: {members: [{host: a}], adapt: auto}, b: {members: [{host: b}]}}
defaults: {action: deny, mode: enforce, infrastructure: {arp: allow}}
feeds: [{name: f, path: "https://feeds.example/x?token=SECRET", format: json, mode: audit}]
adaptive: {actions: [alert], max_hosts: 2, protected: [{host: b}]}
"""


def changes(tmp_path: Path, before: str, after: str) -> list[SettingChange]:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(BASE)
    assert before in BASE
    new.write_text(BASE.replace(before, after))
    return list(setting_changes(load_policy([old]), load_policy([new])))


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("{arp: allow}", "{arp: deny}", "infrastructure arp"),
        ("{arp: allow}", "{nd: deny}", "infrastructure nd"),
        ("{arp: allow}", "{dhcp: deny}", "infrastructure dhcp"),
        ("mode: audit", "mode: enforce", "feed f"),
        ("format: json", "format: stix2", "feed f"),
        ("name: f,", "name: g,", "feed f"),
        ("actions: [alert]", "actions: [alert, quarantine]", "adaptive actions"),
        ("max_hosts: 2", "max_hosts: 3", "adaptive max_hosts"),
        ("protected: [{host: b}]", "protected: [{host: a}]", "adaptive protected"),
        ("adapt: auto", "adapt: propose", "adapt of a"),
    ],
)
def test_each_is_named(tmp_path: Path, before: str, after: str, name: str) -> None:
    found = changes(tmp_path, before, after)
    assert name in [each.name for each in found]
    assert all(each.before != each.after for each in found)
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [("{arp: allow}", "{}"), ("adaptive:", "# limits\nadaptive:"), ("name: p", "name: q")],
)
def test_what_means_the_same_is_no_change(tmp_path: Path, before: str, after: str) -> None:
    assert changes(tmp_path, before, after) == []


def test_the_command_says_so_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(BASE)
    new.write_text(BASE.replace("{arp: allow}", "{arp: deny}"))
    assert run(["policy", "diff", str(old), str(new)]) == 1
    assert "infrastructure arp: allow before, deny now (without ARP" in capsys.readouterr().out
    assert run(["policy", "diff", str(old), str(new), "--json"]) == 1
    assert '"changed": true' in capsys.readouterr().out
    assert run(["policy", "diff", str(new), str(new)]) == 0
