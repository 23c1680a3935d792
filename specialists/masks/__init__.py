"""Specialists that add masks to regions which have only a box."""
