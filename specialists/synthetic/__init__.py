"""The synthetic world, an annotator that makes errors on it, and fake specialists for tests."""
