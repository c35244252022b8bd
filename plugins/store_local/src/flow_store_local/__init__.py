"""Keeps flow artifacts in a local directory."""
