"""Texts written by rule from regions."""
