"""The stage ingest: lists inputs, probes them, and assigns images to shards."""
