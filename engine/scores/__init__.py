"""Calibration curves and fusion, which make the scores of different detectors comparable."""
