"""The commands show, check, dump, logs, output-dot, reindex, status and version."""
