"""The training loop, its batches and checkpoints, Ray Train around it."""
