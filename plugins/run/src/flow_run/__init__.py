"""flow-run: the commands ``run`` and ``resume``."""
