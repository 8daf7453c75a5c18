"""Who plays: agents that speak text, and the shape of what they are given."""
