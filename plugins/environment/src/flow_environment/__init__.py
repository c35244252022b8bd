"""flow-environment: the environment decorator: variables of a step's process."""
