"""The specialist `florence2`, which annotates images with a Florence-2 model."""
