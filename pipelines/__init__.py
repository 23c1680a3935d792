"""The path of the data: ingest, annotate, filter, emit; the recipes and the command line."""
