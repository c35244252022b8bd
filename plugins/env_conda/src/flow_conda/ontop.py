"""Packages of PyPI on top of those of conda: resolved and installed by flow-pypi.

What conda provides stays as it is: it is given to the resolver as installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flow_conda import trouble
from flow_core.api import EnvironmentRequest, EnvironmentWork, NoEnvironment

_BEGIN = 0.95  # how much of the work is done when the packages of conda are there


def with_pypi(
    lock: dict[str, Any],
    requirements: Sequence[str],
    request: EnvironmentRequest,
    work: EnvironmentWork,
) -> dict[str, Any]:
    """Return a lock with what is asked of PyPI on top of the packages of conda.

    Args:
        lock: the packages of conda.
        requirements: of an ``environment.yml``, and what no channel has of those that tasks need.
        request: may have options of ``@pypi``, too.
        work: see `flow_core.api.EnvironmentWork`.

    Raises:
        NoEnvironment: nothing fits.
    """
    options: Mapping[str, Any] = request.options.get("pypi", {})
    if not requirements and not options:
        return lock
    from flow_pypi.library import requirements_of, resolve_on
    from flow_pypi.sources import find_sources

    if options.get("pyproject"):
        raise NoEnvironment(
            "@pypi(pyproject=…) does not go together with @conda",
            where=trouble.PROVIDER,
            why="its lock, uv.lock, says nothing of packages that conda provides",
            hint="@pypi(packages={…}) or @pypi(requirements=…)",
        )
    asked = requirements_of(options, request.files)
    extra = (*options.get("extra_index_urls", ()), *asked.extra_index_urls)
    index = options.get("index_url") or asked.index_url
    sources = find_sources({"index_url": index, "extra_index_urls": extra}, work)
    wanted = [*asked.requirements, *requirements]
    python = next(p["version"] for p in lock["packages"] if p["name"] == "python")
    work.tell(
        f"resolving {len(wanted)} requirement{'s' if len(wanted) != 1 else ''} of PyPI on top"
    )
    there = {p["name"]: p["version"] for p in lock["packages"] if is_python_package(p)}
    try:
        text = resolve_on(
            wanted,
            platform=request.platform,
            python=".".join(python.split(".")[:2]),
            work=work,
            installed=there,
            constraints=asked.constraints,
            hashes=asked.hashes,
            sources=sources._replace(links=(*asked.links, *sources.links)),
        )
    except NoEnvironment as error:
        said = f"{error.what}\n{error.why}"
        fixed = [n for n in there if re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", said)]
        given = [f"conda provides {name} {there[name]}" for name in fixed]
        error.why = "\n".join([*filter(None, [error.why]), *given])
        raise
    return {**lock, "pypi": text}


def is_python_package(package: Mapping[str, Any]) -> bool:
    """Whether pip would see a package of conda as installed: under its name, and with a version."""
    from packaging.version import InvalidVersion, Version

    try:
        Version(package["version"])
    except InvalidVersion:
        return False
    needs = {text.split()[0] for text in package.get("depends", ())}
    return package.get("noarch") == "python" or bool({"python", "python_abi"} & needs)


def install_pypi(python: str, text: str, work: EnvironmentWork) -> None:
    """Install what `with_pypi` has found.

    Args:
        python: path of the Python of the environment.
        text: what the lock has of it.
        work: see `flow_core.api.EnvironmentWork`.

    Raises:
        NoEnvironment: something is missing, or is not what it was.
    """
    from flow_pypi.library import install_into

    install_into(python, text, _Rest(work))


def pip_packages(text: str) -> list[dict[str, str]]:
    """Return what the lock has of PyPI: name, version, URL and SHA-256 of each package.

    Raises:
        NoEnvironment: one has no URL, so that other tools could not fetch it.
    """
    from flow_pypi.pylock import read

    found = []
    for package in read(text):
        if not package.url:
            raise NoEnvironment(
                f"'{package.name}' has no URL, which conda-lock.yml demands",
                where="the lock",
                why="it was built here, or comes from a folder of wheels",
                hint="put its wheel into an index",
            )
        found.append(
            {
                "name": package.name,
                "version": package.version,
                "url": package.url,
                "sha256": package.sha256,
            }
        )
    return found


class _Rest:
    """The last part of a work: what it tells of its progress comes after that of conda.

    Args:
        work: the whole work.
    """

    def __init__(self, work: EnvironmentWork) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def tell(self, text: str, part: float | None = None) -> None:
        """See `flow_core.api.EnvironmentWork`."""
        whole = None if part is None else _BEGIN + (1 - _BEGIN) * part
        self._work.tell(text, whole)
