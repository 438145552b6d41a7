"""Environment variables that name the files in which instrumented processes note their times."""

from __future__ import annotations

SCORED = "SEPTUM_SCORED"
TIMED = "SEPTUM_TIMED"
