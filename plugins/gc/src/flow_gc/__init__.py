"""flow-gc: the command gc: removes old runs and what only they reach."""
