"""The command doctor: whether flows can run here, and what to type where they cannot."""
