"""Requests about the model, as they arrive at the analysis."""

from __future__ import annotations

import json

from response.ipc.messages import Ask
from response.state.model_versions import ModelAnswer, ModelVersions


def answer_about_model(models: ModelVersions, ask: Ask, now: float) -> ModelAnswer:
    """Do what ``ask.what`` names; ``ask.decision`` is the name of a snapshot."""
    by, note = ask.by, ask.note
    match ask.what:
        case "model-health":
            return ModelAnswer(True, json.dumps(models.health()))
        case "model-snapshot":
            return models.snapshot(by, now, note)
        case "model-rollback":
            return models.roll_back(ask.decision, by, now, note)
        case "model-challenge":
            return models.challenge(ask.decision, ask.alert_budget, by, now, note)
        case "model-promote":
            return models.promote(by, now, note)
        case "model-dismiss":
            return models.dismiss(by, now, note)
        case "model-accept":
            return models.accept_drift(by, now, note)
    return ModelAnswer(False, f"{ask.what}: no such request")
