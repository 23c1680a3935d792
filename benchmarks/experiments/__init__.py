"""What refinement and training do, measured on drawn scenes: `make experiments` (docs/experiments.md)."""
