"""Rounds of refinement as pure functions: which student judges an image (folds), what changes (merge), and whether the
round is accepted (gate).
"""
