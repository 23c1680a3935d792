"""Texts parsed by spaCy."""
