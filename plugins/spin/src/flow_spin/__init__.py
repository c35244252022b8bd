"""flow-spin: the command spin: one step again, on the inputs of an earlier task."""
