"""Data sets as their readers see them: current nodes, DuckDB views, accounting."""
