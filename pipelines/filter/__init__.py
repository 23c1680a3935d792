"""Stage filter: judges annotations and images."""
