"""Training: jobs, batches, the loop, checkpoints, and running under Ray Train."""
