"""The runtime travels: flow-core and the plugins in use, for an interpreter that does not have them.

Pure Python goes along: a folder of links to exactly those packages, on this machine. What is compiled
must be in the environment, and so is asked of who makes it. Of other people's libraries only those go
along that the environment lacks, so that a step finds the versions that it asked for.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import NoEnvironment, PluginError
from flow_core.index import PluginIndex, normalise, satisfies

if TYPE_CHECKING:
    from importlib_metadata import Distribution

    from flow_core.environments import ReadyEnvironment

CORE = "flow-core"
_COMPILED = (".so", ".pyd", ".dylib", ".dll")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?\s*([^;)]*)\)?")


class Requirement(NamedTuple):
    """What a distribution requires of another one: ``click>=8.1``.

    Attributes:
        name: normalised name of the distribution.
        range: the versions that will do, ``>=8.1,<9``; ``''`` = any.
        text: all of it, with its condition.
        by: the distribution that requires it.
    """

    name: str
    range: str
    text: str
    by: str


class Luggage(NamedTuple):
    """What goes along, and what must be there.

    Attributes:
        own: flow-core and the plugins: normalised name → path in the folder → path on disk.
        libraries: the same for pure Python that these need.
        compiled: requirements that the environment itself must fulfil, sorted.
        needed: what is required of each library, and of what is compiled, by name.

    Since 0.1.
    """

    own: Mapping[str, Mapping[str, str]]
    libraries: Mapping[str, Mapping[str, str]]
    compiled: tuple[str, ...]
    needed: Mapping[str, tuple[Requirement, ...]]


def pack(index: PluginIndex, used: Collection[str]) -> Luggage:
    """Return what goes along with the plugins of ``index``.

    Args:
        index: the plugins; all of them go along, so that their names are known there.
        used: names of the distributions whose code runs in tasks: what these require goes along too,
            or is required of the environment.

    Raises:
        PluginError: a distribution cannot be taken along.
    """
    ours = {CORE, *(e.distribution for e in index.entry_points)}
    modules: dict[str, set[str]] = {CORE: {"flow_core"}}
    for entry in index.entry_points:
        top = entry.value.partition(":")[0].partition(".")[0]
        modules.setdefault(entry.distribution, set()).add(top)
    own: dict[str, Mapping[str, str]] = {}
    libraries: dict[str, Mapping[str, str]] = {}
    compiled: set[str] = set()
    needed: dict[str, list[Requirement]] = {}
    waiting: deque[Requirement] = deque()
    for name in sorted(ours):
        found = _distribution(name)
        if found is None:
            raise _not_found(name)
        if not _is_pure(found):
            compiled.add(f"{name}=={found.version}")
            continue
        own[name] = _contents(found, modules[name])
        if name == CORE or name in used:
            waiting.extend(_requirements(found))
    while waiting:
        wanted = waiting.popleft()
        # Plugins that flow-core brings, but which are left out here, stay behind.
        if wanted.name in ours or _is_plugin(wanted.name):
            continue
        needed.setdefault(wanted.name, []).append(wanted)
        found = _distribution(wanted.name)
        if found is None or not _is_pure(found):
            compiled.add(wanted.text)  # who installs it installs what it needs
        elif wanted.name not in libraries:
            libraries[wanted.name] = _contents(found, set())
            waiting.extend(_requirements(found))
    return Luggage(
        own, libraries, tuple(sorted(compiled)), {n: tuple(r) for n, r in needed.items()}
    )


def core_requirements() -> tuple[str, ...]:
    """Return what every environment must have for flow-core itself: what of it is compiled.

    Since 0.1.
    """
    return pack(PluginIndex([]), ()).compiled


def unpack(luggage: Luggage, environment: ReadyEnvironment, root: str) -> str:
    """Return a folder with all that ``environment`` lacks of flow-core and the plugins.

    Args:
        luggage: see `pack`.
        environment: where it is for.
        root: where such folders lie; each is made once.

    Raises:
        NoEnvironment: the environment lacks what must be there, or has a version that will not do.
    """
    _check(luggage, environment)
    items: dict[str, str] = {}
    for contents in luggage.own.values():
        items.update(contents)
    for name, contents in luggage.libraries.items():
        if name not in environment.packages:
            items.update(contents)
    return link_folder(items, root)


def _check(luggage: Luggage, environment: ReadyEnvironment) -> None:
    problems = []
    for name, requirements in luggage.needed.items():
        version = environment.packages.get(name)
        for wanted in requirements:
            if version is None and name not in luggage.libraries and _counts(wanted, environment):
                problems.append(f"{wanted.text}, which {wanted.by} needs, is not there")
            elif version is not None and not satisfies(version, wanted.range):
                problems.append(f"{name} is {version}; {wanted.by} needs {name}{wanted.range}")
    if problems:
        raise NoEnvironment(
            f"flow-core cannot run in the environment {environment.name}",
            where=environment.folder,
            why="\n".join(problems),
            hint="leave the version of these packages open, or ask for one that fits",
        )


def _counts(wanted: Requirement, environment: ReadyEnvironment) -> bool:
    """Whether a requirement with a condition, on the version of Python mostly, counts there."""
    _, semicolon, marker = wanted.text.partition(";")
    found = re.fullmatch(
        r"""\s*python_(?:full_)?version\s*([<>=!~]+)\s*["']([\d.]+)["']\s*""", marker
    )
    if not semicolon:
        return True
    # Other conditions are left to who installs: what is missing then shows when it is imported.
    return found is not None and satisfies(environment.python, found[1] + found[2])


# --- distributions ------------------------------------------------------------------------------


def _distribution(name: str) -> Distribution | None:
    from importlib_metadata import Distribution, PackageNotFoundError

    with suppress(PackageNotFoundError):
        found: Distribution = Distribution.from_name(name)
        return found
    return None


def _is_plugin(name: str) -> bool:
    from flow_core.index import installed

    return any(e.distribution == name for e in installed().entry_points)


def _is_pure(found: Distribution) -> bool:
    if any(str(file).endswith(_COMPILED) for file in found.files or ()):
        return False
    wheel = found.read_text("WHEEL") or ""
    return "root-is-purelib: false" not in wheel.lower()


def _requirements(found: Distribution) -> Iterator[Requirement]:
    by = normalise(found.metadata["Name"])
    for text in found.requires or ():
        head, _, marker = text.partition(";")
        matched = _NAME.match(head)
        if matched and not re.search(r"\bextra\b", marker):
            range_ = "".join(matched[2].split())
            yield Requirement(normalise(matched[1]), range_, " ".join(text.split()), by)


def _contents(found: Distribution, modules: Iterable[str]) -> dict[str, str]:
    """Return path in the folder → path on disk, for one distribution.

    Args:
        found: the distribution.
        modules: names that are imported from it, which count where it is not a plain installation.
    """
    files = [str(file).replace(os.sep, "/") for file in found.files or ()]
    plain = [f for f in files if not f.startswith("..") and "__pycache__" not in f]
    code = [f for f in plain if f.endswith(".py") and ".dist-info/" not in f]
    items = _metadata(found)
    if code:
        for file in plain:
            if ".dist-info/" not in file and not file.endswith(".pth"):
                unit = _unit(file, code)
                items[unit] = str(found.locate_file(unit))
        return items
    for name in sorted(modules) or _module_names(found):
        items.update(_module(name, found))
    return items


def _metadata(found: Distribution) -> dict[str, str]:
    path = getattr(found, "_path", None)  # there is no other way to know where it lies
    return {os.path.basename(path): str(path)} if path is not None and os.path.exists(path) else {}


def _unit(file: str, code: Collection[str]) -> str:
    """Return the outermost package that ``file`` lies in; itself where it lies in none.

    A namespace package is shared by several distributions, so it is none of one of them.
    """
    parts = file.split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        if f"{folder}/__init__.py" in code:
            return folder
    return file


def _module_names(found: Distribution) -> list[str]:
    names = (found.read_text("top_level.txt") or "").split()
    return names or [normalise(found.metadata["Name"]).replace("-", "_")]


def _module(name: str, found: Distribution) -> dict[str, str]:
    """Return where a module lies that an editable installation offers; it is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None and os.path.isfile(spec.origin):
        place = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
        return {os.path.basename(place): place}
    raise PluginError(
        f"The package '{name}' cannot be taken along into the environments of steps",
        where=f"{found.metadata['Name']} {found.version}",
        why="it has no file on this machine" if spec is None else "it is no plain package",
        hint=f"install it as usual: pip install {found.metadata['Name']}",
    )


def _not_found(name: str) -> PluginError:
    return PluginError(
        f"The plugin '{name}' cannot be taken along into the environments of steps",
        why="it is no installed distribution",
        hint=f"pip install {name}, or leave it out: -p no:{name.removeprefix('flow-')}",
    )


# --- the folder ---------------------------------------------------------------------------------


def link_folder(items: Mapping[str, str], root: str) -> str:
    """Return a folder below ``root`` with a link for each item; made once for the same items.

    Args:
        items: path in the folder → path on disk.
        root: made when it is needed.
    """
    from blake3 import blake3

    text = "\n".join(f"{name}\t{path}" for name, path in sorted(items.items()))
    folder = os.path.join(root, blake3(text.encode()).hexdigest()[:16])
    if not os.path.isdir(folder):
        _make_links(items, folder)
    return folder


def _make_links(items: Mapping[str, str], folder: str) -> None:
    import shutil
    import tempfile

    os.makedirs(os.path.dirname(folder), exist_ok=True)
    made = tempfile.mkdtemp(prefix="new-", dir=os.path.dirname(folder))
    try:
        for name, path in items.items():
            place = os.path.join(made, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _link(path, place)
        os.chmod(made, 0o755)
        os.rename(made, folder)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError) and os.path.isdir(folder):
            return  # another process was first
        raise


def _link(path: str, place: str) -> None:
    import shutil

    try:
        os.symlink(path, place)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, FileExistsError):
            raise
        copy: Any = shutil.copytree if os.path.isdir(path) else shutil.copy2
        copy(path, place)  # Windows lets not everybody make links
