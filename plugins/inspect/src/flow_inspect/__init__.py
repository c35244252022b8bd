"""The show, check, dump, logs and output-dot commands of flows."""
