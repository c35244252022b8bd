"""Reads past flow runs and their artifacts from Python."""
