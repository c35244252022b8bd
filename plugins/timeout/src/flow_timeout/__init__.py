"""flow-timeout: the timeout decorator: ends a step that takes too long."""
