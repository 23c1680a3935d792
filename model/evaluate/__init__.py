"""Measures that compare annotations with human ones. They are pure functions over records, without data sets or
storage.

Confidence intervals resample whole images, because boxes, words and captions of one image are not independent.
"""
