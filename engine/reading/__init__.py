"""Reads data sets: current nodes, DuckDB views, and counts of what became of each input and annotation."""
