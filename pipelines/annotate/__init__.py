"""Stage annotate: runs nodes over the shards for which they have no output yet."""
