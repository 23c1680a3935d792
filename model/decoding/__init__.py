"""Generating answers, scoring given ones."""
