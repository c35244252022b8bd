"""Commands that look at flows and their runs: runs, tasks, show, check, dump, logs and more."""
