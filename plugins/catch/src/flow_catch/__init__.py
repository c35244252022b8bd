"""The catch decorator: lets a flow go on after a failed step."""
