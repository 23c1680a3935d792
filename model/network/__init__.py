"""The Florence-2 network, its tokenizer and its inputs."""
