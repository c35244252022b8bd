"""flow-code: the commands code and diff: what a run ran, and how two runs differ."""
