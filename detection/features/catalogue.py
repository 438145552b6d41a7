"""What is looked at: every feature, with its unit and the reason it is there.

This table is the one place that names them; learners, alerts and the manual
(``docs/detection.md``) follow it. A host-window holds one number per feature.
"""

from __future__ import annotations

from dataclasses import dataclass

from detection.state.counters import HORIZON_NAMES

SHORT = HORIZON_NAMES[:3]
EDGE_HORIZONS = ("1m", "1h", "24h")


@dataclass(frozen=True, slots=True)
class Feature:
    """``group`` is the kind of alert that this feature speaks for; learners are given the natural
    logarithm of 1 + what is ``logarithmic``, people are shown the value itself.
    """

    name: str
    unit: str
    why: str
    group: str
    logarithmic: bool = False


def _at_horizons(
    name: str, unit: str, why: str, group: str, horizons: tuple[str, ...]
) -> list[Feature]:
    return [Feature(f"{name}_{h}", f"{unit}, decayed over {h}", why, group) for h in horizons]


FEATURES: tuple[Feature, ...] = (
    *_at_horizons(
        "denied_pairs",
        "distinct (peer, service) pairs that policy refused",
        "A host at work knows what it may reach; one that explores runs into the policy.",
        "policy-probe",
        SHORT,
    ),
    *_at_horizons(
        "unanswered_addresses",
        "distinct internal addresses asked for that nobody has",
        "Address sweeps ask for every address; software asks for those that it was given.",
        "scan",
        SHORT,
    ),
    *_at_horizons(
        "failed_pairs",
        "distinct (peer, service) pairs that refused or did not answer",
        "Guessing where a service runs mostly fails.",
        "scan",
        SHORT,
    ),
    Feature(
        "failure_share",
        "share of distinct attempts in about 10 min that were denied or failed",
        "Failures among many successes are an outage, failures alone are a search.",
        "scan",
    ),
    *_at_horizons(
        "service_fanout",
        "new internal peers on one service",
        "Moving sideways means new peers on one service; what others do on that service is normal.",
        "scan",
        HORIZON_NAMES,
    ),
    *_at_horizons(
        "unserved_fanout",
        "new internal peers on one service that they were never seen to serve",
        "Clients go where a service is; a sweep goes everywhere.",
        "scan",
        HORIZON_NAMES,
    ),
    Feature(
        "companions",
        "other hosts that within about 1h reached for the same foothold service where it was not "
        "known to be served",
        "A sweep shared out among many hosts is little for each of them, and much for all.",
        "scan",
    ),
    Feature(
        "new_peers",
        "new internal peers on any service, decayed over 10m",
        "Breadth that is spread over services so that no single one stands out.",
        "scan",
    ),
    Feature(
        "new_services",
        "new (internal peer, service) pairs, decayed over 10m",
        "A port scan of one peer is depth instead of breadth.",
        "scan",
    ),
    Feature(
        "role_flip",
        "new peers on footholds of a host that was only a server before, decayed over 1h, "
        "times how well the host is known (0 to 1)",
        "Servers are reached; one that starts to reach for shells has a new owner.",
        "lateral-path",
    ),
    Feature(
        "hop_depth",
        "hops in a row over new edges on footholds that end at this host's last connection",
        "In, then on from there: the shape of lateral movement, also when every hop is allowed.",
        "lateral-path",
    ),
    Feature(
        "onward_peers",
        "new peers on footholds after an arrival, decayed over 1h; fewer for a jump host, "
        "or one hardly known",
        "One arrival that fans out is worse than one that goes on once.",
        "lateral-path",
    ),
    Feature(
        "suspect_origin",
        "1 if the arrival came from a server turned client or one after whose visits several hosts "
        "go on, 2 if from a host with an open alert",
        "Whoever comes from a suspect host is more likely the same person.",
        "lateral-path",
    ),
    Feature(
        "novel_edge",
        "implausibility points of new internal edges, decayed over 10m",
        "New edges mostly join known clients of a service to its known servers.",
        "novel-edge",
    ),
    Feature(
        "burst",
        "connections to the busiest peer in this host-window beyond twice the habit, from 16 on",
        "Password guessing and floods repeat one edge.",
        "volume",
    ),
    Feature(
        "volume",
        "bytes to internal peers in this host-window",
        "Tools and loot have weight.",
        "volume",
        logarithmic=True,
    ),
    Feature(
        "beacon",
        "visits in a row at regular intervals to one outside peer that at most two of our hosts "
        "use, begun after the background was known",
        "A program that is controlled from outside asks for orders by the clock.",
        "beacon",
    ),
    Feature(
        "rare_volume",
        "bytes sent, decayed over 1h, to outside peers that at most two of our hosts use and that "
        "were hardly known before",
        "What is stolen leaves for a place where nobody goes.",
        "volume",
        logarithmic=True,
    ),
    Feature(
        "window_shape",
        "anomaly score of the last whole host-window by half-space trees, 0 to 1",
        "An unusual combination of values each of which is usual.",
        "novel-edge",
    ),
)
COUNT = len(FEATURES)

# These belong to a single connection, not to a host-window: its score is its host's raw score
# and what they add. An alert rests on the host-window alone.
EDGE_FEATURES: tuple[Feature, ...] = (
    Feature(
        "unfamiliar_pair",
        "hours in which the two hosts were in contact before; fewer is stranger",
        "Work repeats: who talks today mostly talked before, as far as that is so here.",
        "novel-edge",
    ),
    Feature(
        "unfamiliar_party",
        "hours in which the outside host was in contact with any of ours before; fewer is stranger",
        "Partners and services come back; who comes to probe was hardly ever there.",
        "novel-edge",
    ),
    *(
        Feature(
            f"edge_surge_{name}",
            f"connections from one host to one other, decayed over {name}, "
            "against twice the habit of that edge",
            "Password guessing, port scans of one host and floods repeat one edge.",
            "volume",
        )
        for name in EDGE_HORIZONS
    ),
)
EDGE_COUNT = len(EDGE_FEATURES)
EDGE_INDEX: dict[str, int] = {feature.name: i for i, feature in enumerate(EDGE_FEATURES)}
INDEX: dict[str, int] = {feature.name: i for i, feature in enumerate(FEATURES)}
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def index_of(name: str) -> int:
    """Position of a feature, or of the first horizon of one that has several."""
    return INDEX[name] if name in INDEX else INDEX[f"{name}_1m"]
