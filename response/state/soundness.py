"""Whether everything in a state directory can be read, and its audit is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from policies.language.errors import PolicyError
from response.audit import checkpoints
from response.audit.log import Audit
from response.audit.signing import KeyProblem, signer_of
from response.state.database_connection import StoreError
from response.state.policy_versions import VersionError, Versions
from response.state.store import MAX_ALERTS, MAX_FLOWS, Store


def problems_of(state: Path) -> list[str]:
    """One line for each; none where it is sound. Nothing is changed."""
    try:
        store = Store.open_to_read(state)
    except StoreError as problem:
        return [str(problem), *_policies(state)]
    with closing(store):
        return [*store.broken_pages(), *_unreadable(store), *_audit(store, state),
                *_policies(state)]  # fmt: skip


def _unreadable(store: Store) -> Iterator[str]:
    reads: tuple[Callable[[], object], ...] = (
        store.owner_id,
        store.decisions,
        store.bindings,
        store.links,
        store.host_names,
        store.feed_blocks,
        store.pending_rewards,
        lambda: store.alerts(MAX_ALERTS),
        lambda: store.flows(limit=MAX_FLOWS),
        lambda: [store.snapshot(number) for number, *_ in store.snapshots()],
    )
    for read in reads:
        try:
            read()
        except StoreError as problem:
            yield str(problem)


def _audit(store: Store, state: Path) -> Iterator[str]:
    try:
        signer = signer_of(state)
        kept = checkpoints.read_file(state / checkpoints.FILE)
        report = Audit(store).verify_signed(None if signer is None else signer.public, kept)
    except (StoreError, KeyProblem) as problem:
        yield str(problem)
    except ValueError:
        yield f"{state / checkpoints.FILE}: no checkpoint in it"
    else:
        yield from (f"audit: {problem}" for problem in report.problems)


def _policies(state: Path) -> Iterator[str]:
    versions = Versions(state)
    try:
        numbers = versions.numbers()
        versions.current()
    except (VersionError, PolicyError) as problem:
        yield " ".join(str(problem).split())
        numbers = versions.numbers()
    for number in numbers:
        try:
            versions.version(number)
        except VersionError as problem:
            yield str(problem)
