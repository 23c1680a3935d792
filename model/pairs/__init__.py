"""Training pairs: the tasks, writing and parsing targets, and checking targets against their annotations."""
