"""Training pairs: writing and parsing targets, and checking targets against their annotations."""
