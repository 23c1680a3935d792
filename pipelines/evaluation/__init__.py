"""Measuring annotations against human labels; calibrating scores."""
