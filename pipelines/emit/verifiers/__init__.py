"""Checks of a release, one file for each format or library that reads it."""
