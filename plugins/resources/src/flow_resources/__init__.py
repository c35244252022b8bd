"""flow-resources: the resources decorator: what a step needs, wherever it runs."""
