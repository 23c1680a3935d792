"""Specialists that run checkpoints of the transformers library."""
