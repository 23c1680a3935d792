"""The kinds of sources, one file each. open.py lists them."""
