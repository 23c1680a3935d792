"""Questions and answers about images, for trainers of chat models: what the formats swift and qwen*_vl share."""
