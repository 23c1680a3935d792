"""Training pairs: writes and parses targets, and checks them against the annotations they were made from."""
