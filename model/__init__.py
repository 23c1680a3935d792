"""Florence-2: training pairs, the network, training, decoding, evaluation."""
