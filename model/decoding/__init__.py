"""Decoding: generates answers, and scores given ones."""
