"""An alert in a sentence, and what would have made it different."""

from __future__ import annotations

from detection.alert import Alert, Contribution
from detection.alerting.sentences import sentence


def why(alert: Alert) -> str:
    """What was seen, in one line: kind, score, and what is unusual in a sentence."""
    text = f"{alert.kind} ({alert.attack}): score {alert.score:.6f} over {alert.threshold:.6f}"
    return f"{text}; {sentence(alert)}"


def would_release_if(alert: Alert, decision_id: str, ttl: int) -> str:
    """How a decision ends, and the arithmetic of the feature that weighs most."""
    text = f"{ttl} s pass, or a person runs `septum decisions release {decision_id}`"
    top = main_feature(alert)
    if top is not None:
        text += (
            f"; without what {top.feature} adds the raw score would have been "
            f"{alert.raw - top.contribution:.3g}, not {alert.raw:.3g}"
        )
    return text


def main_feature(alert: Alert) -> Contribution | None:
    """The feature with the largest contribution, None when the alert names none."""
    return max(alert.features, key=lambda part: part.contribution, default=None)
