"""What is learned: the learner, its returns, its losses and its threads."""
