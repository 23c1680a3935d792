"""Bytes: files of a data set, commits, and the URIs, tars and web hosts that images come from."""
