"""Independent Q-learning in tables: the reference for games that are small enough for it."""
