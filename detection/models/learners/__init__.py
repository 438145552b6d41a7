"""Learners behind one contract (``base``), and the ensemble that adds them up.

To add one: write a module with a class that follows :class:`base.Learner`, give it
features that no other learner owns (``detection.features.catalogue``), and name it in
:func:`ensemble.default_learners`. ``tests/detection/models/learners/test_conformance.py`` then
holds it to the contract.
"""
