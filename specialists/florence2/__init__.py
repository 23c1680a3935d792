"""Florence-2 as a specialist."""
