"""Rounds of refinement as pure functions: which student sees an image (folds), what changes (merge), whether the round
is accepted (gate)."""
