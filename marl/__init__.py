"""How they learn: actors, replay, learner, evaluation, checkpoints and monitoring."""
