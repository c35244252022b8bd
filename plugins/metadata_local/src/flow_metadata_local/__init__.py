"""Keeps the records of flow runs in a local directory."""
