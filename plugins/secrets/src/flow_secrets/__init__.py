"""flow-secrets: the secrets decorator: secrets as variables of a step, never stored, masked in its output."""
