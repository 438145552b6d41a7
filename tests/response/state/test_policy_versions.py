from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies.language.errors import PolicyError
from policies.language.reader import load_policy, read_policy
from policies.language.sources import CopiedSources
from response.asker import Asker
from response.ipc.messages import PolicyEvents
from response.state.policy_versions import Pending, VersionError, Versions, at_start

TEXT = """apiVersion: septum/v1
kind: SegmentPolicy
include: [parts/hosts.csv]
segments:
  web: {members: [{labels: {role: web}}], mode: enforce}
intents:
  - {name: one, from: any, to: web, services: [tcp/80]}
defaults: {mode: enforce}
feeds: [{name: drop, path: feeds/drop.txt, format: cidr-list}]
"""
HOSTS = "name,mac,ip,switch,port,vlan,labels\nweb1,02:00:00:00:00:01,10.0.0.1,1,1,,role=web\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    (folder / "parts").mkdir(parents=True)
    (folder / "policy.yaml").write_text(TEXT)
    (folder / "parts" / "hosts.csv").write_text(HOSTS)
    return folder / "policy.yaml"


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "state")


def started(versions: Versions, policy: Path, now: float = 0.0) -> int:
    return at_start(versions, [str(policy)], "root", now).number


def kept(versions: Versions, path: Path, ts: float = 1.0) -> int:
    return versions.keep([str(path)], read_policy([path]).contents, "ana", ts).number


def test_a_version_is_the_policy_as_it_was_with_all_its_files(
    versions: Versions, policy: Path
) -> None:
    before = load_policy([policy])
    number = kept(versions, policy)
    policy.write_text("nonsense: [")
    (policy.parent / "parts" / "hosts.csv").unlink()
    version = versions.version(number)
    assert version.policy() == before, "places in messages and feeds' paths are the same too"
    assert sorted(version.texts.values()) == sorted([TEXT, HOSTS])
    assert (version.by, version.ts) == ("ana", 1.0)


def test_a_directory_is_kept_too(versions: Versions, policy: Path) -> None:
    before = load_policy([policy.parent])
    contents = read_policy([policy.parent]).contents
    version = versions.keep([str(policy.parent)], contents, "ana", 1.0)
    policy.unlink()
    assert versions.version(version.number).policy() == before


def test_a_copy_with_an_error_has_the_same_messages(policy: Path) -> None:
    policy.write_text(TEXT.replace("to: web", "to: wbe"))
    read = read_policy([policy])
    again = read_policy([policy], CopiedSources(read.contents))
    assert read.diagnostics == again.diagnostics and read.errors


def test_a_version_that_was_changed_is_not_used(
    versions: Versions, policy: Path, tmp_path: Path
) -> None:
    number = kept(versions, policy)
    path = tmp_path / "state" / "policies" / f"{number:06}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text().replace("tcp/80", "any"))
    with pytest.raises(VersionError, match="digest does not fit"):
        versions.version(number)
    with pytest.raises(VersionError, match="no policy version 77"):
        versions.version(77)
    path.write_text("{}")
    with pytest.raises(VersionError, match="cannot be read"):
        versions.version(number)
    assert versions.all() == ()


def test_numbers_are_never_given_twice(versions: Versions, policy: Path) -> None:
    assert [kept(versions, policy) for _ in range(3)] == [1, 2, 3]
    assert [version.number for version in versions.all()] == [1, 2, 3]


def test_the_standing_is_as_it_was_written(versions: Versions) -> None:
    standing = versions.standing()
    assert standing.in_force is None
    standing = replace(
        standing.applied(1).applied(2), pending=Pending(2, 1, 99.5, "ana"), given="ab", staged=7
    ).told(5.0, "applied", 2, Asker("ana"), "why")
    versions.stand(standing)
    assert versions.standing() == standing
    assert (standing.in_force, standing.previous) == (2, 1)


def test_a_restart_with_the_same_policy_goes_on_with_what_was_applied(
    versions: Versions, policy: Path
) -> None:
    assert started(versions, policy) == 1
    assert started(versions, policy) == 1
    other = policy.parent / "other.yaml"
    other.write_text(TEXT.replace("tcp/80", "tcp/81"))
    second = kept(versions, other)
    versions.stand(versions.standing().applied(second))
    assert started(versions, policy) == second
    # Another policy on the command line is a word of its own.
    policy.write_text(TEXT.replace("tcp/80", "tcp/82"))
    assert started(versions, policy) == 3
    assert versions.standing().history == (1, 2, 3)


@pytest.mark.parametrize(("now", "in_force"), [(149.9, 2), (150.0, 1), (9999.0, 1)])
def test_what_nobody_confirmed_is_taken_back_at_the_start(
    versions: Versions, policy: Path, now: float, in_force: int
) -> None:
    started(versions, policy)
    second = kept(versions, policy)
    pending = Pending(second, 1, 150.0, "ana")
    versions.stand(replace(versions.standing().applied(second), pending=pending))
    assert started(versions, policy, now) == in_force
    assert (versions.standing().pending is None) == (in_force == 1)
    if in_force == 1:
        assert versions.standing().events[-1].what == "reverted"
        assert started(versions, policy, now) == 1, "and stays so"


def test_a_policy_with_an_error_starts_nothing(versions: Versions, policy: Path) -> None:
    policy.write_text(TEXT.replace("to: web", "to: wbe"))
    with pytest.raises(PolicyError):
        started(versions, policy)
    assert versions.standing().in_force is None
    assert versions.all() == ()


def test_a_crash_while_writing_leaves_what_was(
    versions: Versions, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(versions, policy)
    before = versions.standing()

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("response.state.policy_versions.os.replace", crash)
    with pytest.raises(OSError):
        versions.stand(before.applied(9))
    assert versions.standing() == before
    standing = tmp_path / "state" / "policies" / "standing.json"
    standing.write_text(json.dumps({"history": 5}))
    with pytest.raises(VersionError, match="standing.json"):
        versions.standing()


def test_events_are_bounded() -> None:
    standing = Versions(Path("/nowhere")).standing()
    for number in range(600):
        standing = standing.told(float(number), "staged", number, Asker("ana"))
    assert len(standing.events) == 500
    assert [event.number for event in PolicyEvents(standing.events).events][-1] == 600
