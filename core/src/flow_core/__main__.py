"""``python -m flow_core``: the same as ``flow``."""

from __future__ import annotations

from flow_core.cli import main

if __name__ == "__main__":
    main()
