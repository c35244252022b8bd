"""How far an installation by uv is, by the lines that it writes when no terminal listens.

It names each larger file when it begins and ends to fetch it; small ones, and what its cache has, it
does not name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow_core.api import EnvironmentWork
from flow_pypi.pylock import Package
from flow_pypi.wanted import normal
from flow_pypi.wheels import amount

_LINE = re.compile(r"\s*(Downloading|Downloaded|Prepared) (\S+)")
_LINKED = 0.9  # what is done when all files are there, and are yet to be linked


class Fetching:
    """Tells how much of ``packages`` has been fetched; called with each line of uv.

    Args:
        packages: what is installed; their sizes count.
        work: whom it tells.
        begun: how much of the whole work is done when it begins, 0 to 1.
    """

    def __init__(self, packages: Sequence[Package], work: EnvironmentWork, begun: float) -> None:
        self._sizes = {p.name: p.size for p in packages}
        self._total = sum(self._sizes.values())
        self._work = work
        self._begun = begun
        self._fetched = 0

    def __call__(self, line: str) -> None:
        """Tell what a line means, if it means anything."""
        found = _LINE.match(line)
        if found is None:
            return
        what, name = found.groups()
        if what == "Prepared":
            self._work.tell("linking packages", _LINKED)
        elif what == "Downloading":
            self._tell(f"fetching {name}")
        else:
            self._fetched += self._sizes.get(normal(name), 0)
            self._tell(f"fetched {name}")

    def _tell(self, what: str) -> None:
        if not self._total:
            self._work.tell(what)
            return
        part = min(self._fetched / self._total, 1.0)
        done = f"{amount(self._fetched)} of " if self._fetched else ""
        self._work.tell(
            f"{what}, {done}{amount(self._total)}", self._begun + (_LINKED - self._begun) * part
        )
