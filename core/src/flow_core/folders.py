"""Where the project of a person begins."""

from __future__ import annotations

import os


def project_folder(folder: str) -> str:
    """Return the nearest folder from ``folder`` upwards that has a ``pyproject.toml``, else itself."""
    place = folder
    while not os.path.isfile(os.path.join(place, "pyproject.toml")):
        above = os.path.dirname(place)
        if above == place:
            return folder
        place = above
    return place
