"""The specialist `composer`: texts written by rules from regions and printed words."""
