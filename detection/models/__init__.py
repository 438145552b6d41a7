"""Score and learn: the learners, calibration, drift, champion and challengers."""
