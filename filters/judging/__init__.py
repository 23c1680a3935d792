"""The code that applies rules in order, and helpers for writing rules: bounds, quantiles, n-grams and requirements."""
