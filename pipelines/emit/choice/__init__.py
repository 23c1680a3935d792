"""Chooses what a release holds: which images, in which split and shard, and with which labels."""
