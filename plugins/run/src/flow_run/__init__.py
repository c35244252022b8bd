"""The run and resume commands of flows."""
