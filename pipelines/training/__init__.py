"""Trains Florence-2 on the pairs of a release."""
