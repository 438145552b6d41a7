"""What is unusual: features over who talks to whom, learners, hop paths, alerts.

:class:`detection.detector.Detector` takes flow records one at a time, scores the
host that started each one, and only then learns from it. What it looks at is in
``features``, how much each feature adds is up to the ``learners``, and
``episodes`` turns a score above the alert budget's threshold into alerts.
"""
