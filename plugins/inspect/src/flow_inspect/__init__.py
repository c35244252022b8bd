"""The show, check, dump, logs, output-dot and reindex commands of flows."""
