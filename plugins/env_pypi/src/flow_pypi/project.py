"""What a ``pyproject.toml`` asks for, and what the ``uv.lock`` beside it has locked already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from flow_core.api import CommandFailed, EnvironmentWork, NoEnvironment
from flow_pypi.pylock import Package, found_by_uv, load
from flow_pypi.sources import Sources
from flow_pypi.trouble import explain
from flow_pypi.uv import run_uv
from flow_pypi.wanted import normal
from flow_pypi.wheels import temporary

LOCK = "uv.lock"


def lock_beside(pyproject: str) -> str:
    """Return the path of the lock that belongs to a ``pyproject.toml``."""
    return os.path.join(os.path.dirname(pyproject), LOCK)


def dependencies_of(text: str, name: str, python: str) -> list[str]:
    """Return the dependencies in a ``pyproject.toml``.

    Args:
        text: its text.
        name: its name, for errors.
        python: version of Python that must suit it.

    Raises:
        NoEnvironment: it states none, or needs another Python.
    """
    project = _project(text, name, python)
    if "dependencies" in project.get("dynamic", ()):
        raise NoEnvironment(
            "The dependencies of the project are found out only when it is built",
            where=name,
            why='it has: dynamic = ["dependencies"]',
            hint="lock them: uv lock; a uv.lock beside it is used as it is",
        )
    return [str(text) for text in project.get("dependencies", ())]


def locked_by_uv(
    files: Mapping[str, str],
    pyproject: str,
    platform: str,
    python: str,
    sources: Sources,
    work: EnvironmentWork,
) -> tuple[list[Package], dict[str, str]]:
    """Return what a ``uv.lock`` has for a platform; nothing is resolved again.

    Returns:
        The packages, and the paths of those that are files of this machine.

    Raises:
        NoEnvironment: the lock is not that of its project any more, or cannot be read.
    """
    project = _project(files[pyproject], pyproject, python)
    _check_fresh(project, files[lock_beside(pyproject)], pyproject)
    with temporary(work) as folder:
        for name in (pyproject, lock_beside(pyproject)):
            path = os.path.join(folder, os.path.basename(name))
            with open(path, "w", encoding="utf-8") as file:
                file.write(files[name])
        words = ["export", "--project", folder, "--frozen", "--format", "pylock.toml"]
        words += ["--no-header", "--no-emit-project", "--no-default-groups"]
        try:
            text = run_uv(work, words, sources)
        except CommandFailed as error:
            raise explain(error, sources, place=lock_beside(pyproject)) from None
    return found_by_uv(text, platform, python, universal=True)


def _check_fresh(project: Mapping[str, Any], lock: str, pyproject: str) -> None:
    """Compare what the project requires with what it did when it was locked: uv itself would ask
    indexes, and find the folder of the project incomplete."""
    name = normal(str(project.get("name", "")))
    try:
        packages = load(lock).get("package", ())
    except ValueError as error:
        raise NoEnvironment(
            f"'{lock_beside(pyproject)}' cannot be read",
            where=lock_beside(pyproject),
            why=str(error),
            hint=f"write it anew: uv lock{_in(pyproject)}",
        ) from None
    ours = [p for p in packages if normal(p["name"]) == name and "registry" not in p["source"]]
    own: dict[str, Any] = ours[0] if ours else {}
    if "dependencies" in project.get("dynamic", ()):
        return
    wanted = [*project.get("dependencies", ())]
    for more in project.get("optional-dependencies", {}).values():
        wanted += more
    stated = own.get("metadata", {}).get("requires-dist", ())
    before = {
        (normal(d["name"]), _extras(d.get("extras", ())), _sorted(d.get("specifier", "")))
        for d in stated
    }
    now = {_demand(text, pyproject) for text in wanted}
    if now != before:
        changed = ", ".join(sorted({name for name, *_ in now ^ before}))
        raise NoEnvironment(
            f"'{lock_beside(pyproject)}' does not belong to its pyproject.toml any more",
            where=lock_beside(pyproject),
            why=f"changed after it was locked: {changed}",
            hint=f"uv lock{_in(pyproject)}",
        )


def _demand(text: str, pyproject: str) -> tuple[str, str, str]:
    """Return the name, the extras and the versions in a requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        raise NoEnvironment(
            f"'{text}' is no requirement",
            where=pyproject,
            why=str(error).splitlines()[0],
            hint="correct it",
        ) from None
    return normal(found.name), _extras(found.extras), _sorted(str(found.specifier))


def _extras(names: Iterable[str]) -> str:
    return ",".join(sorted(map(normal, names)))


def _sorted(specifier: str) -> str:
    return ",".join(sorted(part.strip() for part in specifier.split(",") if part != "*"))


def _in(pyproject: str) -> str:
    folder = os.path.dirname(pyproject)
    return f" --directory {folder}" if folder else ""


def _project(text: str, name: str, python: str) -> dict[str, Any]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        found = dict(load(text).get("project", {}))
        allowed = SpecifierSet(str(found.get("requires-python", "")))
    except (ValueError, InvalidSpecifier) as error:
        raise NoEnvironment(
            f"'{name}' cannot be read",
            where=name,
            why=str(error),
            hint="correct it",
        ) from None
    if not found:
        raise NoEnvironment(
            f"'{name}' has no project",
            where=name,
            why="there is no table [project], whose dependencies would count",
            hint="write one, or use requirements=",
        )
    full = python if python.count(".") == 2 else f"{python}.99"
    if not allowed.contains(full):
        raise NoEnvironment(
            f"The project does not run in Python {python}",
            where=name,
            why=f"requires-python = {str(allowed)!r}",
            hint="ask for another Python: @pypi(python=…)",
        )
    return found
