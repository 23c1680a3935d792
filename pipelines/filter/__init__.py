"""Stage filter: judge annotations and images."""
