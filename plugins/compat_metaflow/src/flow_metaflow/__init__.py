"""flow-metaflow: runs flows that are written for Metaflow, unchanged."""
