"""The environment variable that names the file in which an instrumented process notes its times."""

from __future__ import annotations

SCORED = "SEPTUM_SCORED"
