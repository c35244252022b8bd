"""Where keys lie: below a run, below a root, or, as full URLs, anywhere."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import (
    Settings,
    StoreError,
    check_key,
    files_prefix,
    installed,
    near_misses,
    run_key,
)
from flow_files.attributes import FOLDER, is_beside
from flow_files.errors import FilesNotFound, FilesURLError, reported

if TYPE_CHECKING:
    from flow_core.api import Store, StoredObject

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL).fullmatch
_SHOWN = 5
_FEW = 1000
"""Objects that services list in one answer."""
_PER_LOOK = 30
"""Objects that are listed in the time in which one is looked at, of which many are at once."""


class Place(NamedTuple):
    """A folder of a store.

    Attributes:
        store: the store.
        base: what its keys begin with: ``''``, or a text that ends with ``/``.
    """

    store: Store
    base: str = ""

    @property
    def url(self) -> str:
        """Its URL, without ``/`` at the end."""
        return f"{self.store.url.rstrip('/')}/{self.base}".rstrip("/")


class Target(NamedTuple):
    """One key.

    Attributes:
        store: the store.
        key: its key there.
        url: its full URL.
        prefix: URL of what ``name`` is relative to, or None.
        name: the key as people write it.
    """

    store: Store
    key: str
    url: str
    prefix: str | None
    name: str


class Folder(NamedTuple):
    """What is listed.

    Attributes:
        store: the store.
        prefix: what the keys begin with: ``''``, or a text that ends with ``/``.
        url: its URL, without ``/`` at the end.
    """

    store: Store
    prefix: str
    url: str

    def target(self, key: str) -> Target:
        """Return one of the keys that were found."""
        name = key[len(self.prefix) :]
        return Target(self.store, key, f"{self.url}/{name}", self.url, name)


class Entry(NamedTuple):
    """What is directly in a folder: an object, or a folder, whose size is None."""

    name: str
    size: int | None = None
    modified: float | None = None


def entries(folder: Folder) -> Iterator[Entry]:
    """Yield what is directly in a folder, by name.

    A folder with few objects below it is listed whole, which is one request, and so is one in which
    most of them are directly in it; otherwise the objects of its level are looked at one by one. There
    an object hides a folder of its name.
    """
    listing = iter(folder.store.list(folder.prefix))
    found: dict[tuple[str, bool], Entry] = {}
    whole = _note_level(folder, listing, _FEW, found)
    if not whole:
        names = [name for name in folder.store.folders(folder.prefix) if name != FOLDER]
        whole = _note_level(folder, listing, _PER_LOOK * len(names), found)
    if whole:
        yield from (entry for entry in found.values() if entry.name != FOLDER)
        return
    infos = folder.store.describe([folder.prefix + name for name in names])
    for name, info in zip(names, infos, strict=True):
        yield Entry(name, info.size, info.modified) if info is not None else Entry(name)


def _note_level(
    folder: Folder,
    listing: Iterator[StoredObject],
    most: int,
    found: dict[tuple[str, bool], Entry],
) -> bool:
    """Note what some more of the objects of a listing are on its level; say whether that was the end."""
    count = 0
    for stored in itertools.islice(listing, most):
        count += 1
        name, slash, _ = stored.key[len(folder.prefix) :].partition("/")
        entry = Entry(name) if slash else Entry(name, stored.size, stored.modified)
        found.setdefault((name, bool(slash)), entry)
    return count < most


class Locator:
    """Finds out where keys lie.

    Args:
        root: below it lie all keys; None = keys are full URLs.
        open_store: opens a store by its URL.
    """

    def __init__(self, root: Place | None, open_store: Callable[[str], Store]) -> None:
        self.root = root
        self._open = open_store
        self._stores: dict[str, Store] = {}

    def target(self, key: Any) -> Target:
        """Return where one key lies.

        Raises:
            FilesURLError: it cannot be a key here.
        """
        if self.root is None:
            url = _checked_url(key)
            root, inside = _split(url)
            return Target(self._store(root), checked_key(inside, url), url, None, url)
        if key is None:
            url = self.root.url
            root, inside = _split(url)
            return Target(self._store(root), checked_key(inside, url), url, url, "")
        self._refuse_url(key)
        inside = self.root.base + checked_key(key, self.root.url)
        return Target(self.root.store, inside, f"{self.root.url}/{key}", self.root.url, key)

    def folder(self, key: Any) -> Folder:
        """Return a folder to be listed; None = the root.

        Raises:
            FilesURLError: it cannot be one here.
        """
        if self.root is not None:
            if key is None or key == "":
                return Folder(self.root.store, self.root.base, self.root.url)
            self._refuse_url(key)
            inside = checked_key(key.removesuffix("/"), self.root.url)
            url = f"{self.root.url}/{inside}"
            return Folder(self.root.store, f"{self.root.base}{inside}/", url)
        if key is None:
            raise _needs_root()
        url = _checked_url(key)
        if not url.partition("://")[2].strip("/"):  # the store of this name, or the root of a disk
            store = self._store(url)
            return Folder(store, "", store.url[:-1] if store.url.endswith(":///") else store.url)
        url = url.rstrip("/")
        rest = url.partition("://")[2]
        if rest.startswith("/") or "/" not in rest:
            return Folder(self._store(url), "", url)
        root, inside = _split(url)
        return Folder(self._store(root), checked_key(inside, url) + "/", url)

    def _refuse_url(self, key: Any) -> None:
        assert self.root is not None
        if isinstance(key, str) and _URL(key):
            inside = key.removeprefix(self.root.url + "/")
            raise FilesURLError(
                f"'{key}' is a full URL, where keys are relative",
                where=self.root.url,
                why="a run, or a root, was named: all keys lie below it",
                hint=f"'{inside}'" if inside != key else "Files() without a root takes full URLs",
            )

    def _store(self, url: str) -> Store:
        if url not in self._stores:
            self._stores[url] = self._open(url)
        return self._stores[url]


def _split(url: str) -> tuple[str, str]:
    """Return the URL of a store, and the key in it, of the full URL of an object.

    Where a host or bucket is named, the store is all of it. Otherwise (``file:///data/a.csv``) it is
    the folder of the object, and not the root of a disk.
    """
    scheme, _, rest = url.partition("://")
    if rest.startswith("/"):
        folder, _, name = rest.rpartition("/")
        return f"{scheme}://{folder or '/'}", name
    host, _, key = rest.partition("/")
    return f"{scheme}://{host}", key


def _checked_url(key: Any) -> str:
    if isinstance(key, str) and _URL(key):
        return key
    if key is None:
        raise _needs_root()
    raise FilesURLError(
        f"{key!r} is no full URL",
        why="neither a run nor a root was named: then a key is the full URL of an object",
        hint="'s3://bucket/folder/name', or name a root: Files(run=self), Files(root='s3://…')",
    )


def _needs_root() -> FilesURLError:
    return FilesURLError(
        "It is not said of which key",
        why="neither a run nor a root was named",
        hint="name one: Files(run=self), Files(root='s3://bucket/folder')",
    )


def checked_key(key: Any, where: str) -> str:
    """Return a key, if it can be one; `FilesURLError` otherwise."""
    if not isinstance(key, str):
        raise FilesURLError(
            f"A key is text, not {type(key).__name__}",
            where=where,
            why=f"{key!r} was given",
            hint="'folder/name'",
        )
    try:
        check_key(key)
    except StoreError as error:
        better = "/".join(part for part in key.split("/") if part not in ("", ".", ".."))
        raise FilesURLError(
            f"{key!r} cannot be a key",
            where=where,
            why=error.why,
            hint=_better(key, better),
        ) from None
    if is_beside(key) or key == FOLDER:
        raise FilesURLError(
            f"{key!r} cannot be a key",
            where=where,
            why=f"below '{FOLDER}' lie content types and metadata",
            hint="use another name",
        )
    return key


def _better(key: str, better: str) -> str:
    if key and better == key:  # its parts are well, a sign in it is not
        return "use another name: letters, digits, '.', '-' and '_' do anywhere"
    return f"'{better}'" if better else "'folder/name'"


def checked_keys(keys: Any) -> list[Any]:
    """Return a list of keys; a single text is refused, whose letters would be taken for keys."""
    if isinstance(keys, (str, bytes)):
        raise FilesURLError(
            f"A list of keys is wanted, not the text {keys!r}",
            why="each of its letters would be taken for a key",
            hint=f"[{keys!r}]",
        )
    return list(keys)


# --- roots --------------------------------------------------------------------------------------


def open_store(url: str) -> Store:
    """Open a store by its URL, with the plugins that the settings choose."""
    if not _URL(url):
        raise FilesURLError(
            f"{url!r} is no URL of a store",
            why="a URL begins with the name of a store, and ://",
            hint=_meant(url),
        )
    words = (word.strip() for word in Settings()["plugins"].split(","))
    index = installed().choose(word for word in words if word)
    store: Store = index.open("flow.stores", url)
    return store


def _meant(text: str) -> str:
    """Return what a URL looks like, or the one that was meant by ``s3:/bucket`` or ``/folder``."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme.isalnum() and rest.strip("/"):
        return f"did you mean '{scheme}://{rest.lstrip('/')}'?"
    if text.startswith("/"):
        return f"'file://{text}'"
    return "s3://bucket/folder, file:///folder, local:///folder"


def root_of(root: Any) -> Place:
    """Return the place that a root names: the URL of a store, or an open store."""
    if isinstance(root, str):
        return Place(open_store(root.rstrip("/") if not root.endswith("://") else root))
    if hasattr(root, "write_stream") and hasattr(root, "capabilities"):
        return Place(root)
    raise FilesURLError(
        f"{root!r} is no root",
        why="a root is the URL of a store, or a store",
        hint="Files(root='s3://bucket/folder'), Files(root='file:///folder')",
    )


def run_of(run: Any) -> tuple[Store, str, str]:
    """Return the store of a run, its flow, and its number.

    Args:
        run: ``self`` in a step, an element of ``inputs``, an object of the client (`Run`, `Step`,
            `Task`), or a pathspec.

    Raises:
        FilesURLError: it is none of these.
        FilesNotFound: there is no such run.
    """
    if isinstance(run, str):
        return _named_run(run)
    from flow_core.api import FlowSpec, run_reader  # who only has URLs does without

    if isinstance(run, FlowSpec):
        reader = run_reader(run)
        return reader.artifacts.store, reader.document.flow, reader.document.run
    pathspec, store = getattr(run, "pathspec", None), getattr(run, "store", None)
    if isinstance(pathspec, str) and store is not None and "/" in pathspec:
        flow, number = pathspec.split("/")[:2]
        return store, flow, number
    raise FilesURLError(
        f"{run!r} is no run",
        why="a run is self in a step, a Run or Task of the client, or a text such as 'MyFlow/12'",
        hint="Files(run=self)",
    )


def place_of_run(run: Any) -> Place:
    """Return where the files of a run lie; arguments and errors as `run_of`."""
    store, flow, number = run_of(run)
    return Place(store, files_prefix(flow, number))


def _named_run(pathspec: str) -> tuple[Store, str, str]:
    parts = pathspec.split("/")
    if len(parts) != 2 or not all(parts):
        raise FilesURLError(
            f"'{pathspec}' names no run",
            why="a run is named Flow/run",
            hint=f"Files(root='{pathspec}')" if "://" in pathspec else "'MyFlow/12'",
        )
    flow, run = parts
    store = open_store(_url_of(Settings()["datastore"]))
    check_run(store, flow, run)
    return store, flow, run


def _url_of(name: str) -> str:
    return name if "://" in name else f"{name}://"


def check_run(store: Store, flow: str, run: str) -> None:
    """Raise `FilesNotFound`, with what may be meant, unless the store has the run."""
    with reported():
        if store.exists([run_key(flow, run)])[0]:
            return
        flows = store.folders("runs/")
        runs = store.folders(f"runs/{flow}/") if flow in flows else []
    latest = sorted(runs, key=lambda r: (len(r), r))[-_SHOWN:][::-1]
    if latest:
        hint = "its latest runs: " + ", ".join(latest)
    else:
        close = near_misses(flow, flows) or flows[:_SHOWN]
        hint = "flows here: " + ", ".join(close) if close else "nothing has been run here yet"
    raise FilesNotFound(
        f"There is no run {flow}/{run}",
        where=store.url,
        why="the store has no record of it",
        hint=hint,
    )


def by_store(targets: Sequence[Target]) -> Iterable[tuple[Store, list[int]]]:
    """Yield each store with the positions of its targets."""
    groups: dict[int, tuple[Store, list[int]]] = {}
    for number, target in enumerate(targets):
        groups.setdefault(id(target.store), (target.store, []))[1].append(number)
    return groups.values()
