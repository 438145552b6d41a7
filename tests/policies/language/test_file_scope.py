"""What a policy names stays inside the folder of the policy that a person named."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.language.reader import ReadResult, read_policy

HEADER = "apiVersion: septum/v1\nkind: SegmentPolicy\n"

pytestmark = pytest.mark.threat("file-scope")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy's folder beside a file that is nobody's business."""
    (tmp_path / "secret.csv").write_text("name,ip\nroot:x:0:0,10.0.0.9\n")
    (tmp_path / "secret.yaml").write_text("root:x:0:0: [\n")
    inside = tmp_path / "policies"
    inside.mkdir()
    return inside


def _read(folder: Path, text: str) -> ReadResult:
    (folder / "policy.yaml").write_text(HEADER + text)
    return read_policy([folder / "policy.yaml"])


def _refused(read: ReadResult) -> None:
    (only,) = read.errors
    assert "outside" in only.message and "--include-root" in only.message
    assert not any("root:x" in line for lines in read.texts.values() for line in lines)


@pytest.mark.parametrize("name", ["../secret.csv", "../secret.yaml", "x/../../secret.yaml", ".."])
def test_an_include_does_not_leave_the_folder(folder: Path, name: str) -> None:
    _refused(_read(folder, f"include: ['{name}']\n"))


@pytest.mark.parametrize("suffix", ["csv", "yaml"])
def test_nor_by_a_link(folder: Path, suffix: str) -> None:
    (folder / f"link.{suffix}").symlink_to(folder.parent / f"secret.{suffix}")
    _refused(_read(folder, f"include: [link.{suffix}]\n"))


def test_nor_by_a_link_in_a_directory_of_files(folder: Path) -> None:
    (folder / "10-link.yaml").symlink_to(folder.parent / "secret.yaml")
    (folder / "policy.yaml").write_text(HEADER)
    _refused(read_policy([folder]))


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/shadow", "link.txt"])
def test_a_feed_stays_inside_as_well(folder: Path, path: str) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.csv")
    _refused(_read(folder, f"feeds: [{{name: f, path: {path}, format: cidr-list}}]\n"))


def test_the_person_widens_it_and_the_policy_cannot(folder: Path) -> None:
    (folder.parent / "hosts.csv").write_text("name,ip\nweb1,10.0.0.1\n")
    (folder / "policy.yaml").write_text(HEADER + "include: [../hosts.csv]\n")
    assert read_policy([folder / "policy.yaml"]).errors
    widened = read_policy([folder / "policy.yaml"], include_roots=[folder.parent])
    assert widened.policy is not None and [host.name for host in widened.policy.hosts] == ["web1"]


def test_a_folder_that_is_mounted_by_links_stays_readable(folder: Path) -> None:
    """As Kubernetes mounts a ConfigMap: `policy.yaml` → `..data/policy.yaml` → a dated folder."""
    dated = folder / "..2026_11_30"
    dated.mkdir()
    (dated / "hosts.csv").write_text("name,ip\nweb1,10.0.0.1\n")
    (dated / "policy.yaml").write_text(HEADER + "include: [hosts.csv]\n")
    (folder / "..data").symlink_to(dated.name)
    for name in ("hosts.csv", "policy.yaml"):
        (folder / name).symlink_to(f"..data/{name}")
    assert read_policy([folder / "policy.yaml"]).errors == ()
    assert read_policy([folder]).errors == ()


def test_a_link_that_a_person_names_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text(HEADER)
    (folder / "policy.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert read_policy([folder / "policy.yaml"]).errors == ()
