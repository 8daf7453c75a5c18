"""The remote sides of the seams, and a run of several processes."""
