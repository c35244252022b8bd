"""flow-inprocess: runs tasks in the launcher's own process: for debuggers, coverage and tests."""
