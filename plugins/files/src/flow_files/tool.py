"""`Files`: objects beside a run, below a root, or anywhere; the same over every store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from flow_files.attributes import attributes_of, describe, is_beside
from flow_files.download import Fetched, Wanted, fetch, wanted
from flow_files.errors import FilesError, FilesURLError, missing, reported
from flow_files.objects import Details, FileObject, FileRange, FileUpload
from flow_files.places import (
    Locator,
    Place,
    Target,
    by_store,
    checked_keys,
    entries,
    open_store,
    place_of_run,
    root_of,
)
from flow_files.progress import Meter
from flow_files.scratch import Scratch
from flow_files.upload import Upload, upload, upload_of

if TYPE_CHECKING:
    from flow_core.api import ObjectInfo, Store, StoredObject

    Key = str | FileRange


class Files:
    """Reads and writes objects: files of one's own, whatever is in them.

    ::

        with Files(run=self) as files:
            files.put("report.csv", "title,year\\n")
            url = files.put_files([("plots/a.png", "/tmp/a.png")])[0][1]

        with Files(run=Run("MoviesFlow/12")) as files:
            print(files.get("report.csv").text)

    What is downloaded lies in temporary files, which vanish when the block ends; without a block
    call `close`. May be used by several threads, and in a forked child.

    Args:
        run: keys lie beside this run: ``self`` in a step, a `Run`, `Step` or `Task` of the client, or
            ``"MoviesFlow/12"``. They go when the run goes.
        root: keys lie below this: the URL of a store, ``s3://bucket/folder``, ``file:///folder``, or a
            store. Without a run and a root each key is a full URL.
        temporary: folder for temporary files; None = the system's.
        progress: whether transfers that take more than a second are told on standard error; None =
            yes, unless the setting ``quiet`` is on.

    Raises:
        FilesURLError: run or root is none, or both are given.
        FilesNotFound: there is no run of this name.

    Since 0.1.
    """

    _object: ClassVar[type[FileObject]] = FileObject

    def __init__(
        self,
        run: Any = None,
        *,
        root: Any = None,
        temporary: str | None = None,
        progress: bool | None = None,
    ) -> None:
        with reported():
            place = self._place(run, root)
        self._begin(place, temporary, progress)

    @staticmethod
    def _place(run: Any, root: Any) -> Place | None:
        if run is not None and root is not None:
            raise FilesURLError(
                "Both a run and a root are given",
                why="keys lie below one of them",
                hint="Files(run=self), or Files(root='s3://bucket/folder')",
            )
        if run is not None:
            return place_of_run(run)
        return root_of(root) if root is not None else None

    def _begin(self, place: Place | None, temporary: str | None, progress: bool | None) -> None:
        self._locator = Locator(place, self._open_store)
        self._scratch = Scratch(temporary)
        self._progress = progress is not False

    def _open_store(self, url: str) -> Store:
        return open_store(url)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url or 'of full URLs'}>"

    @property
    def url(self) -> str | None:
        """URL of the run's files or the root; None where keys are full URLs."""
        return self._locator.root.url if self._locator.root is not None else None

    # --- the block ------------------------------------------------------------------------------

    def __enter__(self) -> Any:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove temporary files; what was downloaded is gone. Safe to call twice."""
        self._scratch.close()

    def _check_open(self) -> None:
        if self._scratch.closed:
            name = type(self).__name__
            raise FilesError(
                f"This {name} object is closed",
                where=self.url,
                why=f"the block 'with {name}(…)' has ended, or close() was called",
                hint=f"make a new one: with {name}(…) as files:",
            )

    # --- reading --------------------------------------------------------------------------------

    def get(
        self, key: Key | None = None, return_missing: bool = False, return_info: bool = True
    ) -> FileObject:
        """Download one object.

        Args:
            key: its key, or a `FileRange`; None = the root itself is one.
            return_missing: return an object with ``exists=False`` where there is none.
            return_info: whether content type, metadata and last change can be asked of it.

        Raises:
            FilesNotFound: there is no such object.
            FilesInvalidRange: the range begins behind its end.
            FilesAccessDenied: the store refuses it.
            FilesInsufficientDiskSpace: it does not fit on the disk for temporary files.
            FilesURLError: it can be no key here.
        """
        return self._get([key], return_missing, return_info)[0]

    def get_many(
        self, keys: Iterable[Key], return_missing: bool = False, return_info: bool = True
    ) -> list[FileObject]:
        """Download many objects at the same time; results in the order of ``keys``. See `get`."""
        return self._get(checked_keys(keys), return_missing, return_info)

    def get_recursive(
        self, keys: Iterable[str | None], return_info: bool = False
    ) -> list[FileObject]:
        """Download all objects below folders; a folder is a whole part of keys: ``a`` is not ``ab``.

        Args:
            keys: the folders.
            return_info: see `get`.
        """
        with reported():
            self._check_open()
            found = [found for key in checked_keys(keys) for found in self._below(key)]
            size = sum(stored.size for _, stored in found)
            items = [Wanted(target) for target, _ in found]
            results = self._fetch(items, return_info, size)
        # What was deleted since it was listed is not there any more: it is left out.
        return [result for result in results if result.exists]

    def get_all(self, return_info: bool = False) -> list[FileObject]:
        """Download all objects below the run or the root. See `get_recursive`."""
        return self.get_recursive([None], return_info)

    def _get(
        self, keys: Sequence[Any], return_missing: bool, return_info: bool
    ) -> list[FileObject]:
        with reported():
            self._check_open()
            items = [wanted(self._locator.target(_name(key)), key) for key in keys]
            found = self._fetch(items, return_info, None)
        for result in found:
            if not (result.exists or return_missing):
                raise missing(result.url)
        return found

    def _fetch(
        self, items: Sequence[Wanted], return_info: bool, size: int | None
    ) -> list[FileObject]:
        targets = [item.target for item in items]
        details = _details(targets) if return_info else None
        found: list[FileObject | None] = [None] * len(items)
        with self._meter("downloading", "downloaded", len(items), size) as meter:
            for store, numbers in by_store(targets):
                results = fetch(store, [items[n] for n in numbers], self._scratch, meter)
                for n, result in zip(numbers, results, strict=True):
                    found[n] = self._made(targets[n], result, details, n)
        return [result for result in found if result is not None]

    def _made(
        self, target: Target, result: Fetched | None, details: Details | None, number: int
    ) -> FileObject:
        if result is None:
            return self._object(target, self._scratch)
        return self._object(
            target,
            self._scratch,
            result.size,
            blob=result.blob,
            path=result.path,
            range_info=result.range_info,
            details=details,
            number=number,
        )

    # --- looking --------------------------------------------------------------------------------

    def info(self, key: str | None = None, return_missing: bool = False) -> FileObject:
        """Say what is known of one object, without its content. See `get`."""
        return self._info([key], return_missing)[0]

    def info_many(self, keys: Iterable[str], return_missing: bool = False) -> list[FileObject]:
        """Say what is known of many objects, in the order of ``keys``. See `info`."""
        return self._info(checked_keys(keys), return_missing)

    def list_paths(self, keys: Iterable[str | None] | None = None) -> list[FileObject]:
        """List what is directly in folders, one level: objects, and folders with ``exists=False``.

        Args:
            keys: the folders; None = the run or the root.
        """
        with reported():
            self._check_open()
            folders = [None] if keys is None else checked_keys(keys)
            return [found for key in folders for found in self._level(key)]

    def list_recursive(self, keys: Iterable[str | None] | None = None) -> list[FileObject]:
        """List all objects below folders. Arguments as `list_paths`."""
        with reported():
            self._check_open()
            folders = [None] if keys is None else checked_keys(keys)
            found = [found for key in folders for found in self._below(key)]
        return [self._object(target, self._scratch, stored.size) for target, stored in found]

    def _info(self, keys: Sequence[Any], return_missing: bool) -> list[FileObject]:
        with reported():
            self._check_open()
            targets = [self._locator.target(_name(key)) for key in keys]
            details = _details(targets)
            infos = [details.of(n) for n in range(len(targets))]
        found = []
        for n, (target, info) in enumerate(zip(targets, infos, strict=True)):
            if info is None and not return_missing:
                raise missing(target.url)
            size = info.size if info is not None else None
            found.append(self._object(target, self._scratch, size, details=details, number=n))
        return found

    def _level(self, key: Any) -> Iterator[FileObject]:
        folder = self._locator.folder(key)
        for entry in entries(folder):
            target = folder.target(folder.prefix + entry.name)
            yield self._object(target, self._scratch, entry.size)

    def _below(self, key: Any) -> Iterator[tuple[Target, StoredObject]]:
        folder = self._locator.folder(key)
        for stored in folder.store.list(folder.prefix):
            if not is_beside(stored.key):
                yield folder.target(stored.key), stored

    # --- writing --------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        obj: Any,
        overwrite: bool = True,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Put one object; return its full URL.

        Args:
            key: its key.
            obj: its content: text, bytes, or an open file, which is read from where it stands.
            overwrite: whether it replaces what is there; with False, what is there stays.
            content_type: media type, such as ``text/csv``.
            metadata: texts of your own by name, which `FileObject.metadata` gives back.

        Raises:
            FilesInvalidObject: this cannot be the content of an object.
            FilesURLError: it can be no key here.
            FilesAccessDenied: the store refuses it.
        """
        item = FileUpload(key, obj, None, content_type, None, metadata)
        with reported():
            ((target, _),) = self._put([item], overwrite)
        return target.url

    def put_many(
        self, key_objs: Iterable[FileUpload | tuple[str, Any]], overwrite: bool = True
    ) -> list[tuple[str, str]]:
        """Put many objects at the same time.

        Args:
            key_objs: pairs of a key and a content (see `put`), or `FileUpload` objects. They may be
                made while it goes: few are taken ahead.
            overwrite: see `put`.

        Returns:
            key and full URL of each that was written, in order: with ``overwrite=False``, of those
            that were not there.
        """
        with reported():
            return _pairs(self._put(map(_upload, key_objs), overwrite))

    def put_files(
        self, key_paths: Iterable[FileUpload | tuple[str, Any]], overwrite: bool = True
    ) -> list[tuple[str, str]]:
        """Put many local files at the same time.

        Args:
            key_paths: pairs of a key and the path of a file, or `FileUpload` objects.
            overwrite: see `put`.

        Returns:
            as of `put_many`.

        Raises:
            FilesNotFound: a file does not exist.
        """
        with reported():
            return _pairs(self._put(map(_upload_of_file, key_paths), overwrite))

    def _put(self, items: Iterable[FileUpload], overwrite: bool) -> list[tuple[Target, bool]]:
        self._check_open()
        count = len(items) if isinstance(items, list) else None
        found: list[tuple[Target, bool]] = []
        with self._meter("uploading", "uploaded", count, None) as meter:
            for store, uploads in _runs_of_store(self._uploads(items)):
                found.extend(upload(store, uploads, not overwrite, meter))
        return found

    def _uploads(self, items: Iterable[FileUpload]) -> Iterator[Upload]:
        seen: set[str] = set()
        for item in items:
            target = self._locator.target(item.key)
            if target.url in seen:
                raise FilesURLError(
                    f"The key '{item.key}' is given twice",
                    where=target.url,
                    why="it is not said which of the two contents is to stay",
                    hint="give each key once, or put them one after the other",
                )
            seen.add(target.url)
            if item.encryption is not None:
                target = self._encrypted(target, item.encryption)
            attributes = attributes_of(item.content_type, item.metadata, target.url)
            yield upload_of(target, item.value, item.path, attributes)

    def _encrypted(self, target: Target, encryption: str) -> Target:
        """Return a target whose store encrypts as is said; a subclass may know one."""
        raise FilesURLError(
            "The encryption of a single object cannot be chosen here",
            where=target.url,
            why="the store encrypts as its settings say",
            hint="leave encryption out",
        )

    def _meter(self, verb: str, done: str, items: int | None, size: int | None) -> Meter:
        return Meter(verb, done, items, size, shown=self._progress)


def _name(key: Any) -> Any:
    return key[0] if isinstance(key, tuple) else key


def _details(targets: Sequence[Target]) -> Details:
    def load() -> list[ObjectInfo | None]:
        found: list[ObjectInfo | None] = [None] * len(targets)
        for store, numbers in by_store(targets):
            for n, info in zip(
                numbers, describe(store, [targets[n].key for n in numbers]), strict=True
            ):
                found[n] = info
        return found

    return Details(load)


def _upload(item: Any) -> FileUpload:
    if isinstance(item, FileUpload):
        return item
    return _pair(item, "put_many([(key, content)])")


def _upload_of_file(item: Any) -> FileUpload:
    if isinstance(item, FileUpload):
        return item
    key, path, *_ = _pair(item, "put_files([(key, path)])")
    return FileUpload(key, None, path)


def _pair(item: Any, hint: str) -> FileUpload:
    if not isinstance(item, (tuple, list)) or not 2 <= len(item) <= len(FileUpload._fields):
        raise FilesURLError(
            f"{item!r} does not say what is to be put where",
            why="a pair of a key and a content is wanted, or a FileUpload",
            hint=hint,
        )
    return FileUpload(*item)


def _pairs(found: Iterable[tuple[Target, bool]]) -> list[tuple[str, str]]:
    return [(target.name, target.url) for target, written in found if written]


def _runs_of_store(items: Iterable[Upload]) -> Iterator[tuple[Store, Iterator[Upload]]]:
    """Yield each store with the items for it that follow each other."""
    waiting = iter(items)
    first = next(waiting, None)
    while first is not None:
        group = _Group(first, waiting)
        yield first.target.store, iter(group)
        first = group.next


class _Group:
    """Items of one store out of a row of them, and the first one of another store behind them."""

    def __init__(self, first: Upload, rest: Iterator[Upload]) -> None:
        self._first = first
        self._rest = rest
        self.next: Upload | None = None

    def __iter__(self) -> Iterator[Upload]:
        yield self._first
        for item in self._rest:
            if item.target.store is not self._first.target.store:
                self.next = item
                return
            yield item
