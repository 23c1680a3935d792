"""Stage ingest: list inputs, probe them, assign images to shards."""
