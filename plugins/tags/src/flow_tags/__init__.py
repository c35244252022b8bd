"""flow-tags: add, remove, replace and list the tags of runs (the command ``tag``)."""
