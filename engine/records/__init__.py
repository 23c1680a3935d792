"""Annotations as arrays: columns, boxes, masks, overlaps, labels; and the check of a specialist's answer."""
