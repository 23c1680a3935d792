"""Measures annotations against human labels, and calibrates scores."""
