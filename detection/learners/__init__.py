"""Learners behind one contract (``base``), and the ensemble that adds them up.

To add one: write a module with a class that follows :class:`base.Learner`, give it
features that no other learner owns (``detection.features``), and name it in
:func:`ensemble.default_learners`. ``tests/detection/test_learners.py`` then
holds it to the contract.
"""
