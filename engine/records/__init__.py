"""Annotations in bulk: columns, masks, overlaps; and the check of what a specialist returned."""
