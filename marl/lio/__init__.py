"""LIO: agents that learn to give each other incentives (arXiv 2006.06051), for small games."""
