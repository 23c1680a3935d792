"""The specialist `florence2`: annotations by a Florence-2 model."""
