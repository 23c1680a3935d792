"""The kinds of sources images come from, one file each."""
