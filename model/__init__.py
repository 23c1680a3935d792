"""Florence-2: training pairs, the network, training, decoding and evaluation."""
