"""flow-debug: the command debug: a failed task under pdb, with its true inputs."""
