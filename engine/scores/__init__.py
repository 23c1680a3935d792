"""Makes the scores of different detectors comparable, by calibration curves and fusion."""
