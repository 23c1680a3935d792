"""Functions that read a data set: status, query, why, show, components."""
