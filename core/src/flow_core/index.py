"""The index of entry points: what is installed, known without importing any of it.

`importlib_metadata` is the authority on distributions, but importing it and walking every
distribution costs more than a whole small command. So the index scans the ``entry_points.txt`` files
on ``sys.path`` itself; a test proves that both see the same.

Beside distributions, single modules that a person names offer providers: see `flow_core.module_plugins`.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flow_core import __version__
from flow_core.errors import (
    FlowError,
    IncompatiblePlugin,
    PluginError,
    SettingsError,
    UnknownName,
    did_you_mean,
    near_misses,
)

PREFIX = "flow."
_RAW_PREFIX = PREFIX.encode()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GROUPS = {
    "flow.calls": "function",
    "flow.commands": "command",
    "flow.computes": "compute provider",
    "flow.current": "attributes of current",
    "flow.decorator_hooks": "plugin",
    "flow.decorators": "decorator",
    "flow.diagnoses": "diagnosis",
    "flow.environments": "environment provider",
    "flow.exports": "name",
    "flow.leftovers": "finder of leftovers",
    "flow.metadata": "metadata provider",
    "flow.parsers": "parser",
    "flow.plugins": "plugin",
    "flow.serializers": "serializer",
    "flow.stores": "store",
    "flow.url_stores": "opener of stores",
}
"""The groups of entry points that the kernel reads → what an entry of theirs is. Plugins have more."""


_OPENERS = {"flow.stores": "flow.url_stores"}
"""Group of providers → group whose one entry opens the URLs that none of them is named for."""
_FSSPEC = frozenset(
    (
        "arrow_hdfs",
        "box",
        "dask",
        "dbfs",
        "dropbox",
        "ftp",
        "gdrive",
        "github",
        "gitlab",
        "hdfs",
        "hf",
        "http",
        "https",
        "jupyter",
        "lakefs",
        "memory",
        "oci",
        "oss",
        "sftp",
        "smb",
        "ssh",
        "webdav",
        "webhdfs",
    )
)
"""Schemes of filesystems that come with fsspec, or that it knows well, and nobody else."""


_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "flow.commands": (
        "a flow_core.api.Command",
        {"summary": str, "needs_flow": int, "build": Callable},
    ),
    "flow.decorators": (
        "a flow_core.api.StepDecorator or FlowDecorator",
        {"name": str, "options": type},
    ),
}
"""What the objects of a group are; checked where another object would only fail much later."""


class EntryPoint(NamedTuple):
    """One name that a distribution provides, or a single module that a person named.

    Attributes:
        group: ``flow.commands``, ``flow.stores``, …
        name: the name within the group.
        value: ``module`` or ``module:attribute``.
        distribution: normalised name of the distribution, ``flow-retry``; of a module its own,
            ``my_company_plugin``.
        version: its version, ``""`` when its folder does not tell.
        location: the folder of its metadata; of a module its file.
        packaged: whether a distribution provides it.
    """

    group: str
    name: str
    value: str
    distribution: str
    version: str
    location: str
    packaged: bool = True

    @property
    def plugin(self) -> str:
        """Short name of the distribution, as used by ``-p no:NAME``: ``flow-retry`` → ``retry``."""
        return self.distribution.removeprefix("flow-")

    @property
    def origin(self) -> str:
        """Who provides it, for people: ``flow-retry 0.1.0``, or ``my_company_plugin``. Since 0.1."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def place(self) -> str:
        """Where it is found, for errors. Since 0.1."""
        return f"plugin '{self.plugin}' ({self.origin if self.packaged else self.location}), {self.value}"

    @property
    def _repair(self) -> str:
        return (
            f"repair it (pip install --force-reinstall {self.distribution})"
            if self.packaged
            else "repair it"
        )

    def load(self) -> Any:
        """Import and return the object.

        Raises:
            IncompatiblePlugin: it needs another flow-core.
            PluginError: importing it failed, for whatever reason, or it is not what its group asks
                for.
        """
        self.check_core()
        module, _, attribute = self.value.partition(":")
        try:
            loaded: Any = importlib.import_module(module)
            for part in attribute.split(".") if attribute else ():
                loaded = getattr(loaded, part)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever an import may raise
            raise PluginError(
                f"The {GROUPS.get(self.group, self.group)} '{self.name}' cannot be loaded",
                where=self.place,
                why=f"{type(error).__name__}: {error}",
                hint=f"{self._repair}, or leave it out: -p no:{self.plugin}",
            ) from error
        self._check_shape(loaded)
        return loaded

    def _check_shape(self, loaded: Any) -> None:
        expected, parts = _SHAPES.get(self.group, ("", {}))
        wrong = [n for n, kind in parts.items() if not isinstance(getattr(loaded, n, None), kind)]
        if wrong:
            raise PluginError(
                f"The {GROUPS[self.group]} '{self.name}' is not {expected}",
                where=self.place,
                why=f"its type is {type(loaded).__name__}, without a proper {', '.join(wrong)}",
                hint=f"correct {'the entry point' if self.packaged else '__flow__'}, "
                f"or leave the plugin out: -p no:{self.plugin}",
            )

    def check_core(self) -> None:
        """Refuse a distribution that was made for another flow-core. Imports nothing of it.

        Raises:
            IncompatiblePlugin: it needs another flow-core.
            PluginError: what it needs cannot be read.

        Since 0.1.
        """
        requirement = ""
        try:
            requirement = core_requirement(self)
            fits = satisfies(__version__, requirement)
        except ValueError as error:
            raise PluginError(
                f"What the plugin '{self.plugin}' requires of flow-core cannot be read",
                where=f"{self.distribution} {self.version}, {self.location}",
                why=str(error),
                hint=f"correct the dependencies in its pyproject.toml (flow-core>={_series()},<1), "
                f"or leave it out: -p no:{self.plugin}",
            ) from None
        if not fits:
            raise IncompatiblePlugin(
                f"The plugin '{self.plugin}' needs flow-core {requirement}; this is {__version__}",
                where=f"{self.distribution} {self.version}",
                hint=f"pip install --upgrade flow-core {self.distribution}, "
                f"or leave it out: -p no:{self.plugin}",
            )


class PluginIndex:
    """All entry points of the groups ``flow.*``; an immutable value.

    Args:
        entry_points: what is there. Tests pass their own; `installed` gives those of ``sys.path``.
        left_out: what is installed, but not wanted: known only to errors.
        unread: modules whose providers are not known, by name, and what is wrong with them.
        barred: the names of plugins and distributions that ``no:NAME`` leaves out.
    """

    def __init__(
        self,
        entry_points: Iterable[EntryPoint],
        left_out: Iterable[EntryPoint] = (),
        unread: Mapping[str, PluginError] | None = None,
        barred: Collection[str] = (),
    ) -> None:
        self.entry_points = tuple(sorted(entry_points))
        self._left_out = tuple(left_out)
        self._barred = frozenset(barred)
        self.unread = dict(unread or {})
        self._groups: dict[str, dict[str, list[EntryPoint]]] = {}
        for entry in self.entry_points:
            self._groups.setdefault(entry.group, {}).setdefault(entry.name, []).append(entry)

    def choose(self, choices: Iterable[str]) -> PluginIndex:
        """Return the index as ``-p`` and the setting ``plugins`` ask for it.

        ``no:NAME`` leaves a plugin out; where there is any ``only:NAME``, all others are left out.
        NAME is the short or the full name of a distribution, or a module. ``DISTRIBUTION/NAME``
        picks one of several that provide a name. Other texts name modules: what they offer is
        there, too. A module that cannot be read offers nothing; loading it tells why.
        """
        texts = [*filter(None, map(str.strip, choices))]
        if not texts:
            return self
        modules = hook_modules(t for t in texts if not t.startswith("no:"))
        return self.with_modules(modules)._chosen(texts, modules)

    def with_modules(self, names: Iterable[str]) -> PluginIndex:
        """Return the index with what these modules offer, see `flow_core.module_plugins`.

        Since 0.1.
        """
        found = [*self.entry_points]
        unread = {**self.unread}
        for name in names:
            try:
                found += _of_module(name)
                unread.pop(name, None)
            except PluginError as error:
                unread[name] = error
        return PluginIndex(dict.fromkeys(found), self._left_out, unread, self._barred)

    def _chosen(self, texts: Collection[str], modules: Iterable[str]) -> PluginIndex:
        blocked = {t[3:] for t in texts if t.startswith("no:")}
        kept = {t[5:] for t in texts if t.startswith("only:")}
        if kept:
            kept.update(modules)  # somebody has named them, too
        outdone = set().union(*(self._outdone(t) for t in texts if "/" in t))
        wanted: list[EntryPoint] = []
        left_out = [*self._left_out]
        for entry in self.entry_points:
            names = {entry.plugin, entry.distribution}
            unwanted = names & blocked or (kept and not names & kept) or entry in outdone
            (left_out if unwanted else wanted).append(entry)
        unread = {name: error for name, error in self.unread.items() if name not in blocked}
        return PluginIndex(wanted, left_out, unread, self._barred | blocked)

    def _outdone(self, choice: str) -> set[EntryPoint]:
        """Return the entry points in whose place another distribution's of the same name is chosen.

        Raises:
            UnknownName: that distribution provides no such name.
        """
        distribution, _, name = choice.partition("/")
        chosen = [
            e
            for e in self.entry_points
            if e.name == name and distribution in (e.distribution, e.plugin)
        ]
        if not chosen:
            known = {f"{e.distribution}/{e.name}" for e in self.entry_points if e.name == name}
            raise UnknownName(
                f"'{distribution}' provides nothing that is called '{name}'",
                where=f"-p or the setting 'plugins': {choice}",
                hint=did_you_mean(
                    choice, known or {f"{e.distribution}/{e.name}" for e in self.entry_points}
                ),
            )
        groups = {e.group for e in chosen}
        same = {e for e in self.entry_points if e.name == name and e.group in groups}
        return same.difference(chosen)

    def require(self, requirements: str, source: str) -> None:
        """Raise `PluginError` unless all these distributions are here, and wanted.

        Args:
            requirements: ``flow-cards>=0.2, flow-s3``.
            source: who says so, for the error.

        Raises:
            SettingsError: it is no list of requirements.
        """
        versions = {e.distribution: e.version for e in self.entry_points}
        missing = []
        for name, range_ in _requirements(requirements):
            version = versions.get(name)
            try:
                fits = version is not None and (not version or satisfies(version, range_))
            except ValueError as error:
                raise SettingsError(
                    f"'{name + range_}' does not say which version is required",
                    where=source,
                    why=str(error),
                    hint=f'required_plugins = ["{name}>={version}"]',
                ) from None
            if not fits:
                missing.append((name + range_, version))
        if missing:
            left_out = {e.distribution for e in self._left_out}
            found = [f"{text}: {_state(text, version, left_out)}" for text, version in missing]
            raise PluginError(
                "Plugins that this project requires are missing",
                where=source,
                why="\n".join(found),
                hint=" ".join(["pip install", *(f"'{text}'" for text, _ in missing)]),
            )

    def names(self, group: str) -> list[str]:
        """Return the names in ``group``, sorted."""
        return list(self._groups.get(group, {}))

    def group(self, group: str) -> Mapping[str, list[EntryPoint]]:
        """Return name → entry points; more than one is a clash."""
        return self._groups.get(group, {})

    def plugins(self) -> list[str]:
        """Return the short names of all distributions that provide anything, sorted."""
        return sorted({e.plugin for e in self.entry_points})

    def modules(self) -> set[str]:
        """Return the top-level names of the installed modules that provide anything."""
        packaged = (e.value.partition(":")[0] for e in self.entry_points if e.packaged)
        return {module.partition(".")[0] for module in packaged}

    def find(self, group: str, name: str) -> EntryPoint:
        """Return the one entry point of this name.

        Raises:
            PluginError: there is none, or two distributions provide it.
        """
        found = self._groups.get(group, {}).get(name, [])
        kind = GROUPS.get(group, group)
        if not name:
            raise UnknownName(
                f"The name of a {kind} is missing",
                hint=f"one of: {', '.join(self.names(group))}",
            )
        if not found:
            raise self._unknown(group, kind, name)
        if len(found) > 1:
            first, second = found[0], found[1]
            raise PluginError(
                f"Two plugins provide the {kind} '{name}': {first.origin} and {second.origin}",
                where=f"{first.location} and {second.location}",
                hint=f"pick one: -p {first.distribution}/{name} or -p {second.distribution}/{name}; "
                f"for good, in pyproject.toml: [tool.flow] plugins = "
                f'["{first.distribution}/{name}"]',
            )
        return found[0]

    def _unknown(self, group: str, kind: str, name: str) -> UnknownName:
        known = self.names(group)
        left_out = [e for e in self._left_out if (e.group, e.name) == (group, name)]
        if left_out:
            plugin = left_out[0].plugin
            barred = sorted(self._barred & {plugin, left_out[0].distribution})
            return UnknownName(
                f"The {kind} '{name}' is left out",
                why=f"its plugin '{plugin}' is installed, but -p or the setting "
                "'plugins' leaves it out",
                hint=f"take 'no:{barred[0]}' out of -p, FLOW_PLUGINS or [tool.flow] plugins"
                if barred
                else f"add -p only:{plugin}",
            )
        if near_misses(name, known):
            return UnknownName(f"There is no {kind} '{name}'", hint=did_you_mean(name, known))
        for module, error in self.unread.items():
            return UnknownName(
                f"No plugin that can be read provides the {kind} '{name}'",
                where=error.where,
                why=f"{error.what}: {error.why}",
                hint=f"repair '{module}' if it should, else: pip install flow-{name}",
            )
        there = f"installed are: {', '.join(known)}" if known else f"no {kind} is installed"
        if group in ("flow.stores", "flow.metadata") and any(sign in name for sign in "/.~"):
            return UnknownName(
                f"'{name}' is a place, and does not say of which {kind}",
                why=there,
                hint=_with_slashes(name, known)
                or f"write the name of one before it: {known[0] if len(known) == 1 else 'NAME'}://{name}",
            )
        if group in _OPENERS and not self.names(_OPENERS[group]):
            if name in _FSSPEC:
                return UnknownName(
                    f"no plugin provides the {kind} '{name}': pip install flow-fsspec", why=there
                )
            if near_misses(name, _FSSPEC):
                return UnknownName(f"There is no {kind} '{name}'", hint=did_you_mean(name, _FSSPEC))
        return UnknownName(
            f"no plugin provides the {kind} '{name}': pip install flow-{name}", why=there
        )

    def find_opener(self, group: str, text: str) -> EntryPoint:
        """Return the entry point that opens ``text``: ``name``, or ``name://place``.

        That is the one of this name; or, for a store's URL of which no plugin provides the name, the
        one of the group ``flow.url_stores``, which is called with the whole URL. Errors as `find`.
        Since 0.1.
        """
        name, is_url, _ = text.partition("://")
        if is_url and name and group in _OPENERS and name not in self.group(group):
            openers = self.names(_OPENERS[group])
            if openers and not any((e.group, e.name) == (group, name) for e in self._left_out):
                return self.find(_OPENERS[group], openers[0])
        return self.find(group, name)

    def opens(self, group: str, text: str) -> bool:
        """Whether there is somebody to open ``text``, see `find_opener`. Since 0.1."""
        name, is_url, _ = text.partition("://")
        opener = _OPENERS.get(group, "") if is_url else ""
        return name in self.group(group) or bool(self.names(opener))

    def load(self, group: str, name: str) -> Any:
        """Find and import; errors as `find` and `EntryPoint.load`."""
        return self.find(group, name).load()

    def open(self, group: str, text: str) -> Any:
        """Make the provider that ``text`` names: ``name``, or ``name://place``.

        Errors as `find_opener` and `EntryPoint.load`.
        """
        entry = self.find_opener(group, text)
        provider = entry.load()
        try:
            return provider(text.partition("://")[2] or None if entry.group == group else text)
        except FlowError:
            raise
        except Exception as error:
            raise PluginError(
                f"The {GROUPS.get(group, group)} '{text}' cannot be opened",
                where=f"plugin '{entry.plugin}' ({entry.origin})",
                why=f"{type(error).__name__}: {error}",
                hint=f"check the place; if it is right, the plugin '{entry.plugin}' is at fault",
            ) from error

    def export_names(self) -> list[str]:
        """Return the names that ``from flow_core import …`` offers from plugins."""
        return sorted({*self.names("flow.decorators"), *self.names("flow.exports")})


def hook_modules(choices: Iterable[str]) -> list[str]:
    """Return the texts of ``-p`` that name modules, once each, without those left out by ``no:``."""
    texts = [*dict.fromkeys(choices)]
    named = [t for t in texts if t and not t.startswith(("no:", "only:")) and "/" not in t]
    return [name for name in named if f"no:{name}" not in texts]


def _of_module(name: str) -> list[EntryPoint]:
    """Return what a module offers; errors are `PluginError`."""
    from flow_core.module_plugins import offered  # only for those who name modules

    file, points = offered(name, GROUPS)
    return [EntryPoint(*point, name, "", file, packaged=False) for point in points]


def _requirements(text: str) -> list[tuple[str, str]]:
    """``flow-cards>=0.2,<1, flow-s3`` → (flow-cards, >=0.2,<1), (flow-s3, "")."""
    found: list[tuple[str, str]] = []
    for part in filter(None, ("".join(piece.split()) for piece in text.split(","))):
        start = min((at for sign in "<>=!~" if (at := part.find(sign)) >= 0), default=len(part))
        if start or not found:
            found.append((normalise(part[:start]), part[start:]))
        else:  # a second clause of the one before
            name, range_ = found[-1]
            found[-1] = name, f"{range_},{part}" if range_ else part
    return found


def _state(requirement: str, version: str | None, left_out: Collection[str]) -> str:
    if version is not None:
        return f"installed is {version}"
    name = _requirements(requirement)[0][0]
    return "left out by -p or the setting 'plugins'" if name in left_out else "not installed"


@functools.lru_cache(maxsize=8)
def _scan_cached(path: tuple[str, ...]) -> PluginIndex:
    return PluginIndex(scan(path))


def installed() -> PluginIndex:
    """Return the index of what is on ``sys.path`` now."""
    return _scan_cached(tuple(sys.path))


def scan(path: Iterable[str]) -> Iterator[EntryPoint]:
    """Yield the ``flow.*`` entry points of all distributions on ``path``.

    Of two copies of one distribution the first on the path counts, as for imports.
    """
    seen: set[str] = set()
    for folder in dict.fromkeys(p or os.curdir for p in path):
        try:
            names = sorted(os.listdir(folder))
        except NotADirectoryError:
            yield from _scan_with_library(folder, seen)
            continue
        except OSError:
            continue  # a path entry that does not exist is normal
        inside = os.path.join(folder, "")
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                yield from _scan_distribution(inside + name, name, seen)


def distributions(path: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution on ``path`` by its name, sorted.

    It is what the names of their folders say; none is opened. Archives on the path are left out.
    Since 0.1.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(p or os.curdir for p in path):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                # Without a regular expression, as in `normalise`: each run's start does this.
                distribution, _, rest = name.rpartition(".")[0].partition("-")
                plain = distribution.lower().replace("_", "-").replace(".", "-")
                found.setdefault(plain, rest.partition("-")[0])
    return dict(sorted(found.items()))


def _scan_distribution(location: str, folder: str, seen: set[str]) -> Iterator[EntryPoint]:
    distribution, version = split_folder(folder)
    if distribution in seen:
        return
    seen.add(distribution)
    raw = _content(location, "entry_points.txt")
    if raw is not None and _RAW_PREFIX in raw:
        for group, name, value in parse_entry_points(raw.decode("utf-8", "replace")):
            if group.startswith(PREFIX):
                yield EntryPoint(group, name, value, distribution, version, location)


def _content(folder: str, name: str) -> bytes | None:
    """Return the content of a small file, None where it cannot be read.

    Every start reads many: without the layers that lines and texts need it takes half the time.
    """
    try:
        with open(folder + os.sep + name, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None  # most distributions have no entry points; an egg-info may be a plain file


def _scan_with_library(archive: str, seen: set[str]) -> Iterator[EntryPoint]:
    """Zip archives on the path are rare: there the library that is the authority does the work."""
    if not os.path.isfile(archive):
        return
    import importlib_metadata

    for found in importlib_metadata.distributions(path=[archive]):
        distribution = normalise(found.metadata["Name"])
        if distribution not in seen:
            seen.add(distribution)
            for entry in found.entry_points:
                if entry.group.startswith(PREFIX):
                    yield EntryPoint(
                        entry.group, entry.name, entry.value, distribution, found.version, archive
                    )


def _with_slashes(text: str, known: Collection[str]) -> str | None:
    """``s3:/bucket`` → which URL was meant, if there is a plugin for it."""
    name, _, place = text.partition(":")
    return f"did you mean '{name}://{place.lstrip('/')}'?" if place and name in known else None


def split_folder(folder: str) -> tuple[str, str]:
    """``flow_retry-0.1.0.dist-info`` → (``flow-retry``, ``0.1.0``)."""
    stem = folder.rpartition(".")[0]
    name, _, rest = stem.partition("-")
    return normalise(name), rest.partition("-")[0]


def normalise(name: str) -> str:
    """Return a distribution's name in the normal form of the packaging standards."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of an ``entry_points.txt``."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            # An extra ("module:attr [extra]") says what else to install, not what to import.
            yield group, name.strip(), value.partition("[")[0].strip()


def core_requirement(entry: EntryPoint) -> str:
    """Return what the distribution of ``entry`` requires of flow-core (``>=0.1,<1``), or ``''``.

    Of several lines all count, those with a condition (``; python_version < "3.12"``) where it is
    true here; one for an extra never does, nor does the address of a file.

    Raises:
        ValueError: a condition cannot be read.

    Since 0.1.
    """
    for file in ("METADATA", "PKG-INFO"):
        raw = _content(entry.location, file)
        if raw is not None:  # an egg-info has the other file
            return ",".join(filter(None, map(_of_core, _required(raw))))
    return ""


def _required(raw: bytes) -> Iterator[str]:
    """Yield what the metadata of a distribution requires."""
    for line in raw.removeprefix(_BYTE_ORDER_MARK).splitlines():
        if line[:14].lower() == b"requires-dist:":
            yield line[14:].decode("utf-8", "replace")
        elif not line.strip():
            return  # the headers end at the first empty line


def _of_core(requirement: str) -> str:
    """``flow_core (>=0.1, <1)`` → ``>=0.1,<1``; ``''`` for others, or where a condition is false."""
    # No regular expression: to compile one would cost every command more than all this reading.
    text, _, marker = requirement.partition(";")
    text = "".join(text.split()).replace("(", "").replace(")", "")
    start = min((at for sign in "[<>=!~@" if (at := text.find(sign)) >= 0), default=len(text))
    if text[:start].lower().replace("_", "-").replace(".", "-") != "flow-core":
        return ""
    if marker.strip() and not _holds(marker):
        return ""
    range_ = text[start:].rpartition("]")[2]
    return "" if range_.startswith("@") else range_


def _holds(marker: str) -> bool:
    from flow_core.versions import holds  # hardly any plugin has a condition

    return holds(marker)


def _series() -> str:
    """The minor release of this flow-core: ``0.1``."""
    return ".".join(map(str, _release(__version__)[:2]))


_CLAUSE = r"(===|[~=!<>]=|[<>])v?(\d+(?:\.\d+)*)(\.\*)?(.*)"


@functools.lru_cache(maxsize=16)  # nearly all plugins ask for the same
def satisfies(version: str, requirement: str) -> bool:
    """Whether ``version`` fits ``requirement``: clauses ``>= > <= < == != ~= ===`` with commas,
    without blanks.

    The version of a plugin API is its release: that of a pre-release (``1.2rc1``) counts as ``1.2``,
    save beside a clause that itself names a pre-release (``>=1.2rc2``).

    Raises:
        ValueError: a clause is no such clause.
    """
    for clause in filter(None, requirement.split(",")):
        found = re.fullmatch(_CLAUSE, clause)
        if found is None:
            raise ValueError(f"'{clause}' is not part of a range of versions such as >=0.1,<1")
        sign, other, wildcard, more = found.groups()
        if more or sign == "===":
            from flow_core.versions import compare  # hardly any range names a pre-release

            fits = compare(version, sign, other + (wildcard or "") + more)
        else:
            fits = _compare(_release(version), sign, _release(other), wildcard)
        if not fits:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(n) for n in found.group(1).split(".")) if found else (0,)


def _compare(
    mine: tuple[int, ...], sign: str, other: tuple[int, ...], wildcard: str | None
) -> bool:
    # 1 = 1.0 = 1.0.0: both get the same length; what a prefix is depends on the length as written.
    length = max(len(mine), len(other))
    prefix = len(other) if wildcard else len(other) - 1
    written = other
    mine += (0,) * (length - len(mine))
    other += (0,) * (length - len(other))
    equal = mine[:prefix] == written if wildcard else mine == other
    return {
        ">=": mine >= other,
        "<=": mine <= other,
        ">": mine > other,
        "<": mine < other,
        "==": equal,
        "!=": not equal,
        "~=": mine >= other and mine[:prefix] == written[:prefix],
    }[sign]
