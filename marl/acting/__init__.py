"""Games are played: actors, their tracks, and greedy play to evaluate."""
