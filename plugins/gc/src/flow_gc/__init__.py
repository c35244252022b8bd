"""flow-gc: removes old runs and what only they reach (the command ``gc``)."""
