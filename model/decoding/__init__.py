"""Decoding: generating answers, and scoring given ones."""
