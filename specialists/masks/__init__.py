"""Masks for regions that have a box only."""
