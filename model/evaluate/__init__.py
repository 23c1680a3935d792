"""How good annotations are, against what people said: pure functions over records, no data set and no storage.

Intervals resample whole images: boxes, words and captions of one image are not independent of each other.
"""
