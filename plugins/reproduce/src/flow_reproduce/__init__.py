"""flow-reproduce: the command reproduce: a run once more, from what it recorded."""
