"""What a person runs: one thin file a command."""
