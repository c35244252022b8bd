"""flow-inprocess: tasks in the launcher's own process, one after another."""
