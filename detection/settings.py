"""What people may set about detection. Everything else is learned."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = "septum-movement/2"


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """``alert_budget`` is the control people turn: alerts per day per 1,000 hosts that
    may be wasted on normal behaviour (never less than one a day is assumed).

    ``internal`` lists the networks that are ours (CIDR); left empty, private
    address space counts, and so do the public prefixes that traffic shows to be ours.
    ``window`` (seconds) is the length of a host-window, ``hop_window`` (seconds) how long after
    an arrival an onward connection still counts as going on from it, and
    ``episode_quiet`` (seconds) how long a host must be calm before what it does next is
    a new episode. ``max_hosts`` and ``max_edges`` bound memory.
    """

    alert_budget: float = 5.0
    internal: tuple[str, ...] = ()
    window: float = 60.0
    hop_window: float = 3600.0
    episode_quiet: float = 1800.0
    max_hosts: int = 20_000
    max_edges: int = 200_000

    def __post_init__(self) -> None:
        for name in ("alert_budget", "window", "hop_window", "episode_quiet"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive")
        if self.max_hosts < 2 or self.max_edges < 1:
            raise ValueError("max_hosts must be at least 2 and max_edges at least 1")
