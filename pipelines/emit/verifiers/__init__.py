"""Checks of a release. Each file checks one format, or reads with one library."""
