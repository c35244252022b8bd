"""flow-yaml: reads configurations of flows from YAML."""
