"""Records, shards, runner, storage, SQL: what every part stands on. Knows nothing above it."""
