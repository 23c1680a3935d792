"""Applies rules in order, and helps to write them: bounds, quantiles, n-grams, requirements."""
