"""What tasks need in each environment: requirements as pip has them, and the version of Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement

from flow_conda import trouble

_OLDEST = (3, 10)  # Python that tasks run in


def check_python_version(version: str) -> None:
    """Raise `NoEnvironment` for a Python in which no task runs."""
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise trouble.too_old(version)


def applying(texts: Iterable[str], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, requirement without its condition) of those whose condition holds.

    Args:
        texts: requirements, ``tomli>=2; python_version < '3.11'``.
        variables: of conditions, see `flow_conda.platforms.marker_variables`.
    """
    for text in texts:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise trouble.failed(f"'{text}', which a plugin requires: {error}") from None
        if wanted.marker is None or wanted.marker.evaluate(dict(variables)):
            name = re.sub(r"[-_.]+", "-", wanted.name).lower()
            wanted.marker = None
            yield name, str(wanted)


def conda_spec(text: str) -> str | None:
    """Return a requirement as conda writes it; None for what conda cannot say."""
    wanted = Requirement(text)
    if wanted.url or wanted.extras:
        return None
    name = re.sub(r"[-_.]+", "-", wanted.name).lower()
    return f"{name} {wanted.specifier}".strip()
