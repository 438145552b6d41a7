"""Reading a policy: files in, a `Policy` or every reason why not out.

result = read_policy(["policy.yaml"])
policy = load_policy(["policy.d/"])      # raises PolicyError with all diagnostics
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from policies.language.documents import Gathering
from policies.language.errors import Diagnostic, Findings, PolicyError, Texts
from policies.language.resolve import Builder
from policies.language.sources import Disk, Sources
from policies.model import Policy


@dataclass(frozen=True, slots=True)
class ReadResult:
    """``policy`` is None when a diagnostic is an error; ``texts`` holds each file's lines,
    ``contents`` the whole texts, of which `policies.language.sources.CopiedSources` makes the same
    policy again."""

    policy: Policy | None
    diagnostics: tuple[Diagnostic, ...]
    texts: Texts = field(default_factory=dict, compare=False, repr=False)
    contents: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.level == "error")


def read_policy(
    paths: Sequence[str | Path],
    sources: Sources | None = None,
    include_roots: Sequence[str | Path] = (),
) -> ReadResult:
    """Read files and directories into one policy; never raises for their content.

    ``sources`` is where they are read from, the disk by default, where they may name files inside
    their own folders and ``include_roots``.
    """
    findings = Findings()
    where = Disk(paths, include_roots) if sources is None else sources
    merged = Gathering(findings, where).gather(paths)
    policy = Builder(merged, findings, where).build(_name(paths))
    good = policy if not findings.errors and merged.texts else None
    return ReadResult(good, findings.sorted(), merged.texts, merged.contents)


def load_policy(
    paths: Sequence[str | Path],
    sources: Sources | None = None,
    include_roots: Sequence[str | Path] = (),
) -> Policy:
    """As `read_policy`. Raises `PolicyError` with every diagnostic if there is an error."""
    result = read_policy(paths, sources, include_roots)
    if result.policy is None:
        raise PolicyError(result.diagnostics, result.texts)
    return result.policy


def _name(paths: Sequence[str | Path]) -> str:
    return (Path(paths[0]).stem or "policy") if paths else "policy"
