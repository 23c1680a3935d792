"""Texts written by rules from regions and printed words."""
