"""Training: the loop, the optimizer, the budget, checkpoints, and the verdict."""
