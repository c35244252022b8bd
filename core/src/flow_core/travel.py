"""The runtime travels: flow-core and the plugins in use, for an interpreter that does not have them.

Pure Python goes along: a folder of links to exactly those packages, on this machine. What is compiled
must be in the environment, and so is asked of who makes it. Of other people's libraries only those go
along that the environment lacks, so that a step finds the versions that it asked for.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import NoEnvironment, PluginError
from flow_core.index import PluginIndex, installed, normalise, satisfies, split_folder

if TYPE_CHECKING:
    from flow_core.environments import EnvironmentLock, ReadyEnvironment

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

    Since 0.1.
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
        versions: of all that goes along, by name.
        used: those of ``own`` that a task cannot do without, and those whose hooks it calls.

    Since 0.1.
    """

    own: Mapping[str, Mapping[str, str]]
    libraries: Mapping[str, Mapping[str, str]]
    compiled: tuple[str, ...]
    needed: Mapping[str, tuple[Requirement, ...]]
    versions: Mapping[str, str] = {}
    used: frozenset[str] = frozenset()


class Compiled(NamedTuple):
    """A distribution for this Python and machine alone, as it is installed here.

    Attributes:
        version: its version.
        contents: path in a folder → path on disk.
        range: the versions that would do, ``>=1,<2``; ``''`` = any.

    Since 0.1.
    """

    version: str
    contents: Mapping[str, str]
    range: str = ""


def pack(index: PluginIndex, used: Collection[str], loaded: Collection[str] = ()) -> Luggage:
    """Return what goes along with the plugins of ``index``.

    Args:
        index: the plugins; all of them go along, so that their names are known there.
        used: names of the distributions that a task cannot do without: what these require goes along
            too, or, where it is compiled, is required of the environment.
        loaded: names of the distributions whose hook modules a task calls besides. What they require
            goes along; what of it is compiled they need not have there, unless they say so
            (hook ``flow_environment_requirements``). Of all others only libraries go along that were
            written for flow-core.

    Raises:
        PluginError: a distribution cannot be taken along.
    """
    ours = {CORE, *(e.distribution for e in index.entry_points if e.packaged)}
    modules: dict[str, set[str]] = {CORE: {"flow_core"}}
    for entry in index.entry_points:
        top = entry.value.partition(":")[0].partition(".")[0]
        modules.setdefault(entry.distribution, set()).add(top)
    own: dict[str, Mapping[str, str]] = {}
    libraries: dict[str, Mapping[str, str]] = {}
    versions: dict[str, str] = {}
    compiled: set[str] = set()
    needed: dict[str, list[Requirement]] = {}
    waiting: deque[tuple[Requirement, bool]] = deque()
    for entry in index.entry_points:
        if not entry.packaged:  # a module that a person has named
            own[entry.distribution] = _module(entry.distribution, entry.distribution)
    places = _metadata_folders()
    places.update((e.distribution, e.location) for e in index.entry_points if e.packaged)
    plugins = {CORE, *(e.distribution for e in installed().entry_points)}
    for name in sorted(ours):
        found = _look_up(name, places.get(name))
        if found is None:
            raise _not_found(name)
        versions[name] = found.version
        if not found.pure:
            compiled.add(f"{name}=={found.version}")
            continue
        own[name] = _contents(found, modules[name])
        if name == CORE or name in used or name in loaded:
            must = name == CORE or name in used
            waiting.extend((wanted, must) for wanted in found.requirements())
        else:  # the step may use it all the same, if it has what that needs of other people
            for wanted in found.requirements():
                library = _look_up(wanted.name, places.get(wanted.name))
                if library is not None and library.pure and _is_ours(library):
                    libraries[wanted.name] = _contents(library, set())
                    versions[wanted.name] = library.version
    seen: set[tuple[Requirement, bool]] = set()
    while waiting:
        wanted, must = waiting.popleft()
        # Plugins that flow-core brings, but which are left out here, stay behind.
        if wanted.name in plugins or (wanted, must) in seen:
            continue
        seen.add((wanted, must))
        found = _look_up(wanted.name, places.get(wanted.name))
        if found is None and wanted.by == CORE and wanted.name.startswith("flow-"):
            continue  # a plugin that did not come along to this machine: see `flow_remote.bundle`
        pure = found is not None and found.pure
        if must:
            needed.setdefault(wanted.name, []).append(wanted)
            if not pure:
                compiled.add(wanted.text)  # who installs it installs what it needs
        if found is not None and pure:
            if wanted.name not in libraries:
                libraries[wanted.name] = _contents(found, set())
                versions[wanted.name] = found.version
            waiting.extend((more, must) for more in found.requirements())
    return Luggage(
        own,
        libraries,
        tuple(sorted(compiled)),
        {n: tuple(r) for n, r in needed.items()},
        versions,
        frozenset({CORE, *used, *loaded} & own.keys()),
    )


def find_compiled(luggage: Luggage) -> dict[str, Compiled]:
    """Return what of ``Luggage.compiled`` is installed here, with all that it requires, by name.

    A machine with the same Python, system and processor can use it as it is. What is pure Python and
    goes along already is not among it.

    Raises:
        PluginError: a distribution is not here, which flow-core or a plugin in use needs.

    Since 0.1.
    """
    from flow_core.versions import holds

    found: dict[str, Compiled] = {}
    places = _metadata_folders()
    waiting = deque((text, True) for text in luggage.compiled)
    while waiting:
        text, must = waiting.popleft()
        head, _, condition = text.partition(";")
        matched = _NAME.match(head)
        if matched is None or (condition and not holds(condition)):
            continue
        name, range_ = normalise(matched[1]), "".join(matched[2].split())
        if name in luggage.libraries or name in luggage.own:
            continue
        if name in found:
            ranges = filter(None, dict.fromkeys((*found[name].range.split(","), range_)))
            found[name] = found[name]._replace(range=",".join(ranges))
            continue
        there = _look_up(name, places.get(name))
        if there is None:
            if must:
                raise _not_found(name)
            continue  # what is compiled works without it here, too
        found[name] = Compiled(there.version, {**_contents(there, ()), **_programs(there)})
        waiting.extend((wanted.text, False) for wanted in there.requirements())
    return found


def _programs(found: _Installed) -> dict[str, str]:
    """Return the compiled programs of a distribution, such as that of uv: ``bin/uv`` → path on disk.

    Scripts stay behind: their first line names the Python that they were installed for.
    """
    folder = os.path.dirname(found.place)
    programs = {}
    for file in found.files:
        place = os.path.normpath(os.path.join(folder, *file.split("/")))
        if file.startswith("..") and os.path.basename(os.path.dirname(place)) == "bin":
            with suppress(OSError), open(place, "rb") as opened:
                if opened.read(2) != b"#!":
                    programs[f"bin/{os.path.basename(place)}"] = place
    return programs


def _is_ours(library: _Installed) -> bool:
    """Whether a library was written for flow-core: several plugins share it."""
    return any(wanted.name == CORE for wanted in library.requirements())


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


def check_lock(luggage: Luggage, lock: EnvironmentLock) -> None:
    """Refuse a lock with a version that will not do, before anything is built from it.

    Raises:
        NoEnvironment: flow-core, or a plugin in use, needs another version.
    """
    from flow_core.crossing import version_in

    data, problems = lock.data, []
    for name, requirements in luggage.needed.items():
        version = version_in(data, name)
        problems += [
            f"{name} is {version}; {wanted.by} needs {name}{wanted.range}"
            for wanted in requirements
            if version is not None and not satisfies(version, wanted.range)
        ]
    _refuse(problems, lock.name, None)


def _check(luggage: Luggage, environment: ReadyEnvironment) -> None:
    problems = []
    for name, requirements in luggage.needed.items():
        version = environment.packages.get(name)
        for wanted in requirements:
            if version is None and name not in luggage.libraries and _counts(wanted, environment):
                problems.append(f"{wanted.text}, which {wanted.by} needs, is not there")
            elif version is not None and not satisfies(version, wanted.range):
                problems.append(f"{name} is {version}; {wanted.by} needs {name}{wanted.range}")
    _refuse(problems, environment.name, environment.folder)


def _refuse(problems: Sequence[str], name: str, where: str | None) -> None:
    if problems:
        raise NoEnvironment(
            f"flow-core cannot run in the environment {name}",
            where=where,
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


class _Installed(NamedTuple):
    """What is known of an installed distribution, from the files of its metadata folder.

    They are read here as plain text: the library that is the authority makes objects of each of
    thousands of files, which would cost each run with an environment a third of a second.
    """

    name: str
    version: str
    place: str
    requires: tuple[str, ...]
    files: tuple[str, ...]
    pure: bool

    def requirements(self) -> Iterator[Requirement]:
        """Yield what it requires, without extras."""
        for text in self.requires:
            head, _, marker = text.partition(";")
            matched = _NAME.match(head)
            if matched and not re.search(r"\bextra\b", marker):
                range_ = "".join(matched[2].split())
                name = normalise(matched[1])
                yield Requirement(name, range_, " ".join(text.split()), normalise(self.name))


def _look_up(name: str, place: str | None = None) -> _Installed | None:
    """Return a distribution, whose metadata lies in ``place`` if that is known; None = none there."""
    if place is None or not os.path.isdir(place):
        place = _find(name)
        if place is None:
            return None
    headers: dict[str, list[str]] = {}
    for line in _text(place, "METADATA", "PKG-INFO").splitlines():
        if not line.strip():
            break  # what follows is the description
        key, _, value = line.partition(":")
        headers.setdefault(key.lower(), []).append(value.strip())
    files = tuple(
        row.partition(",")[0].strip('"').replace(os.sep, "/")
        for row in _text(place, "RECORD").splitlines()
    )
    pure = "root-is-purelib: false" not in _text(place, "WHEEL").lower()
    return _Installed(
        headers.get("name", [name])[0],
        headers.get("version", [""])[0],
        place,
        tuple(headers.get("requires-dist", ())),
        files,
        pure and not any(file.endswith(_COMPILED) for file in files),
    )


def _metadata_folders() -> dict[str, str]:
    """Return distribution → folder of its metadata, for all that lie in folders of ``sys.path``.

    To ask the library for each of them, and to import it, would cost each run with an environment a
    tenth of a second.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(path or os.curdir for path in sys.path):
        with suppress(OSError):  # an archive, or a path that does not exist
            for name in sorted(os.listdir(folder)):
                if name.endswith((".dist-info", ".egg-info")):
                    found.setdefault(split_folder(name)[0], os.path.join(folder, name))
    return found


def _find(name: str) -> str | None:
    """Return the folder of a distribution's metadata, which lies in no folder of ``sys.path``."""
    if not any(os.path.isfile(path) for path in sys.path):
        return None
    from importlib_metadata import PackageNotFoundError, distribution

    try:
        path = getattr(distribution(name), "_path", None)  # nothing else says where it lies
    except PackageNotFoundError:
        return None
    return str(path) if path is not None and os.path.isdir(path) else None


def _text(place: str, *names: str) -> str:
    for name in names:
        with suppress(OSError), open(os.path.join(place, name), encoding="utf-8") as file:
            return file.read()
    return ""


def _contents(found: _Installed, modules: Iterable[str]) -> dict[str, str]:
    """Return path in the folder → path on disk, for one distribution.

    Args:
        found: the distribution.
        modules: names that are imported from it, which count where it is not a plain installation.
    """
    metadata = os.path.basename(found.place)
    items = {metadata: found.place}
    folder = os.path.dirname(found.place)
    plain = [f for f in found.files if not f.startswith(("..", "/")) and "__pycache__" not in f]
    plain = [f for f in plain if not f.startswith(f"{metadata}/") and not f.endswith(".pth")]
    packages = {f.rpartition("/")[0] for f in plain if f.endswith("/__init__.py")}
    if any(file.endswith(".py") for file in plain):
        for unit in {_unit(file, packages) for file in plain}:
            items[unit] = os.path.join(folder, *unit.split("/"))
        return items
    for name in sorted(modules) or _module_names(found):
        items.update(_module(name, f"{found.name} {found.version}"))
    return items


def _unit(file: str, packages: Collection[str]) -> str:
    """Return the outermost package that ``file`` lies in; itself where it lies in none.

    A namespace package is shared by several distributions, so it is none of one of them.
    """
    parts = file.split("/")
    folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((folder for folder in folders if folder in packages), file)


def _module_names(found: _Installed) -> list[str]:
    names = _text(found.place, "top_level.txt").split()
    return names or [normalise(found.name).replace("-", "_")]


def _module(name: str, whose: str) -> dict[str, str]:
    """Return where a module lies, for example of an editable installation; it is not imported."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None and os.path.isfile(spec.origin):
        place = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
        return {os.path.basename(place): place}
    raise PluginError(
        f"The package '{name}' cannot be taken along into the environments of steps",
        where=whose,
        why="it has no file on this machine" if spec is None else "it is no plain package",
        hint="install it as a plain package, or a file",
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
