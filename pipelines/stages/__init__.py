"""Running stages in order, and predicting what a run would do."""
