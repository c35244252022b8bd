"""The code snapshot of a session: found, read, and kept in the store.

What it holds is decided in `flow_core.code_files`, which modules of elsewhere it needs in
`flow_core.own_modules`, and its form in `flow_core.package`. A flow with many files has a memory
(`flow_core.code_cache`), so that those that are unchanged are not read again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core import code_files, own_modules, package
from flow_core.code_files import CodeFiles, Collector, LeftOut, Selection
from flow_core.errors import FlowError
from flow_core.ignore_rules import FILE
from flow_core.index import hook_modules
from flow_core.own_modules import Module
from flow_core.package import CodeFile, State
from flow_core.records import Message
from flow_core.settings import folder_of_project

if TYPE_CHECKING:
    from flow_core.code_cache import CodeCache
    from flow_core.session import Session
    from flow_core.settings import Settings

_FEW = 50
"""Files up to which reading all of them is cheaper than asking what is known of them."""


class KeptCode(NamedTuple):
    """The code that a run keeps.

    Attributes:
        hash: of the snapshot in the store; None = there is no code.
        script: path of the flow's file in it.
        folder: path in it of the folder that is on Python's path: ``""`` for the snapshot itself.
        left_out: what was asked for, but is not in it.

    Since 0.1.
    """

    hash: str | None
    script: str
    folder: str = ""
    left_out: tuple[LeftOut, ...] = ()

    def info(self) -> dict[str, Any]:
        """Return what a run's ``info`` has of it."""
        found: dict[str, Any] = {"script": self.script, "code_folder": self.folder}
        return found | ({"left_out": [x.name for x in self.left_out]} if self.left_out else {})


class CurrentCode(NamedTuple):
    """The code that a run would keep if it started now: path in the snapshot → file, sorted.

    Attributes:
        files: the files.
        script: path of the flow's file.
        left_out: what was asked for, but is not among them.

    Since 0.1.
    """

    files: Mapping[str, CodeFile]
    script: str
    left_out: tuple[LeftOut, ...] = ()


def keep_code(session: Session) -> KeptCode:
    """Store a snapshot of today's code, and tell what is left out of it.

    Raises:
        FlowError: there is too much of it, or a file cannot be had.

    Since 0.1.
    """
    file = session.graph.file
    if not os.path.isfile(file):
        return _keep_cells(session)
    kept = _keep(session, _Search(session, file))
    for one in kept.left_out:
        session.emit(Message(str(one), "warning", time.time()))
    return kept


def current_code(session: Session, file: str | None = None) -> CurrentCode:
    """Return what a run would keep of today's code.

    Args:
        session: a session; of a flow, or, with ``file``, of none.
        file: the flow's file, for a flow that is not loaded: what plugins add is then left out.

    Raises:
        FlowError: there is too much of it, or a file cannot be had.

    Since 0.1.
    """
    loaded = file is None
    file = file if file is not None else session.graph.file
    if not os.path.isfile(file):
        kept = _cells(session)
        return CurrentCode({name: CodeFile(x) for name, x in kept.items()}, next(iter(kept), ""))
    search = _Search(session, file, loaded)
    sources = search.find()
    read = _read(search, sources, session.settings["code_limit"])
    return CurrentCode(read.files, sources.script, read.left_out)


# --- finding --------------------------------------------------------------------------------------


class _Search:
    """Finds the files of one flow.

    Args:
        session: a session.
        file: the flow's file.
        loaded: whether it is the one that the session has loaded.
    """

    def __init__(self, session: Session, file: str, loaded: bool = True) -> None:
        self._session = session
        self._loaded = loaded
        folder = package.code_folder(file)
        self._settings = session.settings.of_project(folder)
        self.collector = Collector(file, _selection(self._settings, folder))
        self._main = Module(own_modules.full_name(self.collector.main), self.collector.main)
        tops = session.index.modules()
        self._developed = own_modules.in_development(tops) if loaded else set()
        self._foreign = {"flow_core", *tops} - self._developed
        self._modules = own_modules.OwnModules(folder, self._foreign)
        self.cache: CodeCache | None = None
        self.own: dict[str, str] = {}
        self.names: set[str] = set()
        self._packages: set[str] = set()

    def find(self) -> CodeFiles:
        """Return the files of the snapshot."""
        self.collector.collect()
        self._take_project()
        self.own = self.collector.known()
        if len(self.own) > _FEW:
            from flow_core.code_cache import CodeCache

            folder = os.path.join(self._session.settings.cache_folder(), "code")
            self.cache = CodeCache(folder, self._main.path, self._main.name)
        for module in self._outside():
            self._take(module)
        if self._loaded:
            self._take_added()
        return self.collector.result()

    def _take_project(self) -> None:
        """Take the project's settings, and files that say what the environments of steps need."""
        file = self._settings.project_file()
        secrets = self._settings.secrets_of_project() if file is not None else []
        if file is not None and not (secrets and not self.collector.allows("", file)):
            self.collector.take(file)
        elif file is not None:
            hint = f"set FLOW_{secrets[0].upper()} instead, or a line '!pyproject.toml' in {FILE}"
            self.collector.refuse(file, f"sets '{secrets[0]}', which is a secret", hint)
        if self._loaded:
            folder = os.path.dirname(self.collector.main)
            for plan in self._session.plans.values():
                for name in plan.environment_files:
                    self.collector.take(os.path.join(folder, os.path.expanduser(name)))

    def _outside(self) -> list[Module]:
        """Return the modules from elsewhere: those that are imported, and of plugins."""
        read = self.cache.statements if self.cache is not None else own_modules.statements
        known = self.cache.names(self.own) if self.cache is not None else None
        seen = {self._main.path}
        if known is None:
            known = own_modules.imported_names([self._main], self.own, seen, own_modules.statements)
        self.names = known
        more = self._of_plugins() if self._loaded else []
        inside = {*self.own.values()}
        others = [module for module in more if module.path not in inside]
        names = known | own_modules.imported_names(others, self.own, seen, read)
        found = own_modules.outside_modules(names, self._modules, self.own, seen, read)
        return [*others, *(m for m in found if m.path not in inside or m.file not in self.own)]

    def _of_plugins(self) -> list[Module]:
        """Return the person's own modules that came in as plugins, and those of decorators."""
        named = hook_modules(self._session._choices)
        decorators = self._session.definition.own_modules()
        found: dict[str, Module] = {}
        for name in (*named, *sorted(self._developed), *decorators):
            parts = name.split(".")
            if parts[0] in self._foreign:
                continue
            for end in range(1, len(parts) + 1):
                one = ".".join(parts[:end])
                path = own_modules.loaded_file(one)
                if path and one != "__main__":
                    found[path] = Module(one, path)
        return list(found.values())

    def _take(self, module: Module) -> None:
        """Take a module from elsewhere, with the package that it is in unless that is large."""
        self.collector.add(module.file, module.path)
        name, folder = own_modules.package_of(module)
        if name and folder not in self._packages:
            self._packages.add(folder)
            self.collector.add_package(name, folder, own_modules.LARGEST)

    def _take_added(self) -> None:
        """Take what plugins and decorators add, and what makes plugins in development known."""
        session = self._session
        for entry in session.index.entry_points:
            if (
                entry.packaged
                and entry.value.partition(":")[0].partition(".")[0] in self._developed
            ):
                for name, path in own_modules.distribution_files(entry.location).items():
                    self.collector.add(name, path)
        for files in session.plugins.hook.flow_package_files(graph=session.graph):
            for path, name in files or ():
                self.collector.insert(name, path, "hook flow_package_files")
        for path, name in session.definition.package_files():
            self.collector.insert(name, path, "add_to_package")


def _selection(settings: Settings, folder: str) -> Selection:
    """Return what is asked for: by variables and the project in which the flow's file lies."""
    patterns, source = settings.lookup("package")
    return Selection(
        suffixes=[s for s in settings["code_suffixes"].split(",") if s],
        patterns=[p.strip() for p in patterns.split(",") if p.strip()],
        base=folder_of_project(source) or folder,
        place=source,
        most=settings["code_files"],
    )


# --- reading --------------------------------------------------------------------------------------


class _Read(NamedTuple):
    files: dict[str, CodeFile]
    states: dict[str, State]
    left_out: tuple[LeftOut, ...]


def _read(search: _Search, sources: CodeFiles, limit: float) -> _Read:
    """Return the files of a snapshot, but those that cannot be read or must not be kept."""
    # Before any of them is read: there may be data among them, more than fits into memory.
    package.check_size({name: _size(path) for name, path in sources.files.items()}, limit)
    files: dict[str, CodeFile] = {}
    states: dict[str, State] = {}
    left_out = list(sources.left_out)
    for name, path in sources.files.items():
        try:
            files[name], states[path] = package.read_file(path)
        except PermissionError as error:
            if name == sources.script:
                raise package.unreadable(path, error) from None
            hint = f"make it readable, or name it in {FILE}"
            left_out.append(LeftOut(name, "cannot be read", hint))
            continue
        why = _secret_in(name, files[name].content)
        if why and not search.collector.allows(name, path):
            if name == sources.script:
                raise _key_in_the_flow(path)
            del files[name]
            left_out.append(LeftOut(name, why, f"to keep it: a line '!{name}' in {FILE}"))
    return _Read(files, states, tuple(left_out))


def _secret_in(name: str, content: bytes) -> str:
    """Return what of a file's content is secret, for people; ``""`` = nothing."""
    if code_files.holds_private_key(content):
        return "holds a private key"
    return "holds a login in a URL" if code_files.holds_login(name, content) else ""


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # reading it will tell
        return 0


def _key_in_the_flow(path: str) -> FlowError:
    return FlowError(
        "The flow's file holds a private key",
        where=path,
        why="every run keeps the flow's file in the store, where others may read it",
        hint="read the key from a file or a variable (see @secrets); "
        f"or let it be: a line '!{os.path.basename(path)}' in {FILE}",
    )


def _keep(session: Session, search: _Search) -> KeptCode:
    sources, limit = search.find(), session.settings["code_limit"]
    cache = search.cache
    known = cache.snapshot(sources.files, limit) if cache is not None else None
    if known is not None and session.artifacts.has_bytes(*known):
        return KeptCode(known.hash, sources.script, sources.code, sources.left_out)
    read = _read(search, sources, limit)
    content = package.pack(read.files, limit)
    digest = session.artifacts.put_bytes(content)
    if cache is not None and len(read.left_out) == len(sources.left_out):
        from flow_core.code_cache import Known

        known = Known(digest, len(content))
        cache.remember(search.own, search.names, sources.files, read.states, known)
    return KeptCode(digest, sources.script, sources.code, read.left_out)


# --- notebooks ------------------------------------------------------------------------------------


def _keep_cells(session: Session) -> KeptCode:
    """Keep the cells of a notebook that define the flow and its functions, as one file."""
    cells = _cells(session)
    name = f"{session.definition.name}.py"
    if not cells:
        return KeptCode(None, name)
    files = {name: CodeFile(content) for name, content in cells.items()}
    content = package.pack(files, session.settings["code_limit"])
    return KeptCode(session.artifacts.put_bytes(content), name)


def _cells(session: Session) -> dict[str, bytes]:
    from flow_core.byvalue import sources

    if session.flow is None:
        return {}
    cells: Iterable[str] = sources(session.flow).values()
    content = "\n\n".join(cell.strip("\n") + "\n" for cell in cells).encode()
    return {f"{session.definition.name}.py": content} if content else {}
