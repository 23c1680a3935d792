"""`engine check`: whether a data set is as it was written."""
