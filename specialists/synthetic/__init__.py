"""The synthetic world, a noisy annotator on it, and fake specialists for tests."""
