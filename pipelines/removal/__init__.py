"""`engine remove`: takes images out of a data set for good, with everything that was made from them."""
