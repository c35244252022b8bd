"""Where the state of flow-core lies when nobody says where."""

from __future__ import annotations

import os


def find_root(root: str | None) -> str:
    """Return the absolute path of the index's folder, which need not exist.

    Args:
        root: a path, relative to the current folder or beginning with ``~``; None = ``.flow`` in
            the nearest parent of the current folder that has one, else in the current folder.
    """
    if root:
        return os.path.abspath(os.path.expanduser(root))
    here = folder = os.getcwd()
    while True:
        candidate = os.path.join(folder, ".flow")
        if os.path.isdir(candidate):
            return candidate
        folder, last = os.path.dirname(folder), folder
        if folder == last:
            return os.path.join(here, ".flow")
