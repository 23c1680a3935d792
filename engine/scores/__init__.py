"""Scores of detectors made comparable: calibration curves and fusion."""
