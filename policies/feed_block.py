"""What threat feeds list, as values of the policy engine."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import Mode, Service


@dataclass(frozen=True, slots=True)
class NarrowListing:
    """What a feed lists for one service only: connections by that service of which a listed
    address is the responder (``to``) or the initiator (``from``). ``prefixes`` as `FeedBlock`'s.
    """

    service: Service
    direction: str
    prefixes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FeedBlock:
    """What one threat feed lists now, as the policy engine sees it.

    ``mode`` `Mode.ENFORCE` denies every connection from or to what is listed, below tier
    ``emergency``; `Mode.AUDIT` records as would-deny what the tiers below allow; `Mode.OBSERVE`
    does nothing. ``prefixes`` are those of `policies.semantics.prefixes.fewest`: each its first
    address (see `policies.semantics.prefix_sets`: IPv6 above bit 128) and its negative size.
    """

    feed: str
    mode: Mode
    prefixes: tuple[tuple[int, int], ...]
    narrow: tuple[NarrowListing, ...] = ()

    def __bool__(self) -> bool:
        """Whether it lists anything."""
        return bool(self.prefixes or self.narrow)
