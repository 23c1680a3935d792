"""Training pairs: tasks, targets, their grammar, and the proof that a target matches its record."""
