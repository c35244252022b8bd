"""The retry decorator: runs a failed step again."""
