"""`engine check`: finds damage in a data set, and repairs what is safe to repair."""
