"""Folds, merge, gate: pure functions of the refinement rounds. Moves in with part D."""
