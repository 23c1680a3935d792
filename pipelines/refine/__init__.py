"""Stage refine: rounds in which students correct annotations."""
