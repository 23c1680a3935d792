"""Applying rules: order, thresholds, quantiles, and what rules need."""
