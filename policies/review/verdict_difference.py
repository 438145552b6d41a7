"""How a verdict differs between two policies for one pair of sides, for `policies.review.diff`."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import UNKNOWN, Address, Service, Verdict


@dataclass(frozen=True, slots=True)
class PairSide:
    """Addresses that are in the same segments as one another, before and after."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    example: Address

    def __str__(self) -> str:
        old, new = (",".join(names) or UNKNOWN for names in (self.before, self.after))
        return new if old == new else f"{old} (now {new})"


@dataclass(frozen=True, slots=True)
class ComparedVerdict:
    """The parts of a verdict that are compared: action, whether packets pass, mode, and what
    decides."""

    action: str
    forwarded: bool
    mode: str
    by: str

    @classmethod
    def of(cls, verdict: Verdict) -> ComparedVerdict:
        by = verdict.intent or verdict.tier.value
        return cls(verdict.action.value, verdict.forwarded, verdict.mode.name.lower(), by)

    def same(self, other: ComparedVerdict) -> bool:
        """Whether the effect on packets is the same, whichever intent decides."""
        return (self.action, self.forwarded) == (other.action, other.forwarded)


@dataclass(frozen=True, slots=True)
class VerdictDifference:
    """One pair of sides whose verdict on some services changes.

    A service without a protocol stands for every protocol that no intent between them names, and
    where it is the only one and ``every`` is set, for all services.
    """

    source: PairSide
    target: PairSide
    services: tuple[Service, ...]
    before: ComparedVerdict
    after: ComparedVerdict
    every: bool = False
    named: str = ""  # of a whole kind of services, where pairs are too many to be listed

    @property
    def service_names(self) -> tuple[str, ...]:
        if self.named:
            return (self.named,)
        if self.every:
            return ("any",)
        return tuple(
            "other protocols" if service.proto is None else str(service)
            for service in self.services
        )

    @property
    def kind(self) -> str:
        """``opened``, ``closed``, or ``judged`` where only the verdict changes, not what passes."""
        if self.before.forwarded == self.after.forwarded:
            return "judged"
        return "opened" if self.after.forwarded else "closed"


def by_segments(each: VerdictDifference) -> tuple[str, tuple[str, ...], tuple[str, ...], int, str]:
    """A sort key: by kind, then by the segments of both sides."""
    source, target = each.source, each.target
    kind = ("opened", "closed", "judged").index(each.kind)
    version = source.example.version
    return (str(kind), source.after, target.after, version, str(each.services))
