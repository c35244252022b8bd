"""flow-envs: looks at, locks, builds and removes the environments of steps (the command ``env``)."""
