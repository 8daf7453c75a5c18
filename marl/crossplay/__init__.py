"""Who plays how with whom: cells, matrices, and what shows them."""
