"""Florence-2: prompts, targets, training, prediction, evaluation. Moves in with part C."""
