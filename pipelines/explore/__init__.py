"""Reading a data set: status, query, why, show, components."""
