"""The gallery over a whole data set, served on loopback. `engine explore` starts it."""
