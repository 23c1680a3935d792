"""Pixels: decoding, perceptual hashes, near-duplicates."""
