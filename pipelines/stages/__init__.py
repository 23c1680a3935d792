"""Runs stages in order, and predicts what a run would do."""
