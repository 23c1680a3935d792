"""Rounds of refinement as pure functions: who may judge what (folds), what changes (merge), what is accepted (gate)."""
