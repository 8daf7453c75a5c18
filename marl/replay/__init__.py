"""What was played: prioritised replay of sequences, and how fast it may be drawn from."""
