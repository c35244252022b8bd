"""flow-cache: the cache decorator: a task is reused across runs when nothing that it depends on has changed."""
