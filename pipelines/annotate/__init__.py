"""Stage annotate: run nodes over the shards that lack them."""
