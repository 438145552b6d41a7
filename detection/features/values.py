"""The feature values of a host now: what was counted, put in the order of ``features``."""

from __future__ import annotations

from math import exp, log1p

from detection.features import hop_paths as paths
from detection.features.catalogue import index_of
from detection.state.counters import NOTHING, Counts, Distinct
from detection.state.hosts import HostState

UNKNOWN_HOST = 0.4  # how much fanning out from an arrival says of a host one has just met
FRESH_CHAIN = 4.0  # hop windows after which a chain is forgotten

_DENIED = index_of("denied_pairs")
_UNANSWERED = index_of("unanswered_addresses")
_FAILED = index_of("failed_pairs")
_SHARE = index_of("failure_share")
_FANOUT = index_of("service_fanout")
_UNSERVED = index_of("unserved_fanout")
_NEW_PEERS = index_of("new_peers")
_NEW_SERVICES = index_of("new_services")
_FLIP = index_of("role_flip")
_DEPTH = index_of("hop_depth")
_ONWARD = index_of("onward_peers")
_ORIGIN = index_of("suspect_origin")
_NOVEL = index_of("novel_edge")
_BURST = index_of("burst")
_VOLUME = index_of("volume")
_BEACON = index_of("beacon")
_RARE_VOLUME = index_of("rare_volume")


def fill(host: HostState, now: float, hop_window: float) -> None:
    """Bring ``host.values`` up to ``now``; what only whole windows have is left as it is."""
    v = host.values
    denied = _counts(host.denied, now)
    unanswered = _counts(host.unanswered, now)
    failed = _counts(host.failed, now)
    v[_DENIED : _DENIED + 3] = denied[:3]
    v[_UNANSWERED : _UNANSWERED + 3] = unanswered[:3]
    v[_FAILED : _FAILED + 3] = failed[:3]
    bad = denied[1] + unanswered[1] + failed[1]
    v[_SHARE] = bad / max(bad, host.attempts.at(now)[1], 1.0) if bad else 0.0
    use = host.strongest
    if use is not None:
        v[_FANOUT : _FANOUT + 4] = use.new.fresh(now, use.revisited)
        v[_UNSERVED : _UNSERVED + 4] = use.unserved.fresh(now, use.revisited)
    v[_NEW_PEERS] = host.new_peers.at(now)[1]
    v[_NEW_SERVICES] = host.new_services.at(now)[1]
    v[_NOVEL] = host.novel.at(now)[1]
    v[_BURST] = host.burst
    v[_VOLUME] = log1p(host.window_bytes)
    v[_BEACON] = host.beacon.now(now) if host.beacon is not None else 0.0
    v[_RARE_VOLUME] = log1p(max(0.0, host.sent.at(now)[2])) if host.sent is not None else 0.0
    _fill_path(host, now, hop_window)


def has_refusals(host: HostState) -> bool:
    """Whether any denied, unanswered or failed attempt shows in the values."""
    return any(host.values[_DENIED:_SHARE])


def _counts(distinct: Distinct | None, now: float) -> Counts:
    return NOTHING if distinct is None else distinct.counts.fresh(now)


def _fill_path(host: HostState, now: float, within: float) -> None:
    v = host.values
    known = paths.acquaintance(host, now)
    v[_FLIP] = known * max(0.0, host.flip.at(now)[2]) if host.flip is not None else 0.0
    chain = host.chain
    if chain is None or now - chain.ts > FRESH_CHAIN * within:
        v[_DEPTH] = v[_ONWARD] = v[_ORIGIN] = 0.0
        host.chain = None
        return
    further_hops = paths.depth(chain, within) - 1.0
    weight = paths.weight(host, within, now)
    v[_DEPTH] = 1.0 + further_hops * weight * exp(-(now - chain.ts) / within)
    further = max(0.0, host.onward.at(now)[2] - 1.0)
    surprise = UNKNOWN_HOST + (1.0 - UNKNOWN_HOST) * known
    v[_ONWARD] = 1.0 + further * weight * min(1.0, further_hops) * surprise
    v[_ORIGIN] = float(paths.suspicion(chain))
