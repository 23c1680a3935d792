"""Annotations as arrays: columns, boxes, masks, overlaps and labels. Also checks the answers of specialists."""
