"""A run: its configuration, its parts in one process, its checkpoints, curves and agents."""
