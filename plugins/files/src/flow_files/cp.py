"""``cp``: files between this machine, runs, and stores."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from flow_core.api import Command, CommandContext
from flow_files.attributes import decode_metadata, describe, is_beside
from flow_files.download import new_file, save
from flow_files.errors import FilesError, FilesNotFound, FilesURLError, missing, reported
from flow_files.parallel import in_order
from flow_files.places import Target, by_store
from flow_files.progress import Meter, size_text
from flow_files.upload import Upload, of_source, upload, upload_of
from flow_files.where import STANDARD, Local, Remote, endpoint, nothing_there, typed

_SHOWN = 5
_HELP = """Copy files: SRC and DST are paths of this machine, Flow/run/name for files beside a run, or
URLs; one of them is in a store. A DST that is a folder, or a run, keeps the name of SRC. With
--recursive, all that is in the folder SRC comes into the folder DST. '-' is the standard output, or
the standard input.

What is there is not replaced without --force: then nothing is copied. Files may be added to a run
that has ended."""


class Item(NamedTuple):
    """One file.

    Attributes:
        name: its name below the folder that is copied.
        path: where it lies on this machine, or None.
        target: where it lies in a store, or None.
        size: in bytes.
    """

    name: str
    path: str | None
    target: Target | None
    size: int

    @property
    def place(self) -> str:
        """Where it lies."""
        return self.target.url if self.target is not None else str(self.path)


class Copied(NamedTuple):
    """One file that was copied."""

    source: str
    target: str
    size: int


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def cp(src: str, dst: str, recursive: bool, force: bool, as_json: bool) -> None:
        with reported():
            copied = _copy(context, src, dst, recursive, force, as_json)
        if as_json:
            context.echo(json.dumps([c._asdict() for c in copied], indent=2))
        elif dst != STANDARD:
            size = size_text(sum(c.size for c in copied))
            context.echo(f"Copied {_count(len(copied))}, {size}.")

    return click.Command(
        "cp",
        callback=cp,
        params=[
            click.Argument(["src"]),
            click.Argument(["dst"]),
            click.Option(
                ["--recursive", "-r"], is_flag=True, help="All that is in the folder SRC."
            ),
            click.Option(["--force", "-f"], is_flag=True, help="Replace what is there."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON: what was copied."),
        ],
        help=_HELP,
    )


def _copy(
    context: CommandContext, src: str, dst: str, recursive: bool, force: bool, as_json: bool
) -> list[Copied]:
    if dst == STANDARD:
        return _to_output(context, src, as_json)
    if src == STANDARD:
        return _from_input(context, dst, force)
    source = endpoint(context, src, is_source=True)
    goal = endpoint(context, dst, is_source=False)
    if isinstance(source, Local) and isinstance(goal, Local):
        raise FilesURLError(
            "Neither of the two is in a store",
            where=f"{context.name} {src} {dst}",
            why="what a store has is named Flow/run/name, or by a URL",
            hint=f"cp {src} {dst}, without flow, copies on this machine",
        )
    items = _items(context, source, recursive)
    places = _places(items, goal, recursive)
    _refuse_clashes([place for place in places if isinstance(place, str)])
    if not force:
        _refuse_existing(places)
    with Meter("copying", "copied", len(items), sum(i.size for i in items), summary=False) as meter:
        if isinstance(goal, Local):
            sizes = _save_all(items, [str(place) for place in places], force, meter)
        else:
            targets = [place for place in places if isinstance(place, Target)]
            sizes = _put_all(items, targets, force, meter)
    return [
        Copied(item.place, place if isinstance(place, str) else place.url, size)
        for item, place, size in zip(items, places, sizes, strict=True)
    ]


# --- what is copied -----------------------------------------------------------------------------


def _items(context: CommandContext, source: Local | Remote, recursive: bool) -> list[Item]:
    if isinstance(source, Local):
        return _local_items(context, source, recursive)
    target = source.target()
    if target is not None:
        (info,) = target.store.describe([target.key])
        if info is not None:
            return [Item(target.key.rpartition("/")[2], None, target, info.size)]
    folder = source.folder()
    found = (stored for stored in folder.store.list(folder.prefix) if not is_beside(stored.key))
    if not recursive:
        if any(True for _ in found):
            raise _is_folder(context, source.shown)
        raise nothing_there(source._replace(as_folder=False))
    items = [
        Item(target.name, None, target, stored.size)
        for stored in found
        for target in [folder.target(stored.key)]
    ]
    if not items:
        raise nothing_there(source._replace(as_folder=False))
    return items


def _local_items(context: CommandContext, source: Local, recursive: bool) -> list[Item]:
    if not os.path.isdir(source.path):
        try:
            size = os.stat(source.path).st_size
        except OSError as error:
            raise of_source(error, source.path) from error
        return [Item(os.path.basename(source.path), source.path, None, size)]
    if not recursive:
        raise _is_folder(context, source.shown)
    items = list(_walk(source.path))
    if not items:
        raise FilesNotFound(
            f"There are no files in '{source.shown}'",
            where=os.path.abspath(source.path),
            why="the folder is empty",
            hint="name another one",
        )
    return items


def _walk(folder: str) -> Iterator[Item]:
    def stop(error: OSError) -> None:
        raise of_source(error, error.filename) from error

    for parent, folders, names in os.walk(folder, onerror=stop):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if os.path.isfile(path):  # neither sockets nor pipes, nor links to nothing
                inside = os.path.relpath(path, folder).replace(os.sep, "/")
                yield Item(inside, path, None, os.path.getsize(path))


def _is_folder(context: CommandContext, shown: str) -> FilesURLError:
    return FilesURLError(
        f"'{shown}' is a folder",
        where=context.name,
        why="folders are copied only when that is said",
        hint=typed(context, f"--recursive {shown} …"),
    )


# --- where it goes ------------------------------------------------------------------------------


def _places(items: Sequence[Item], goal: Local | Remote, recursive: bool) -> list[str | Target]:
    several = recursive and (len(items) != 1 or "/" in items[0].name)
    if isinstance(goal, Local):
        if several or goal.is_folder:
            return [_path_below(goal.path, item) for item in items]
        return [goal.path]
    target = None if several else goal.target()
    return [goal.below(item.name) for item in items] if target is None else [target]


def _path_below(folder: str, item: Item) -> str:
    """Return the path of a file below a folder, and never anywhere else."""
    parts = item.name.split("/")
    if any(part in ("", ".", "..") or os.sep in part for part in parts) or "\0" in item.name:
        raise FilesURLError(
            f"{item.name!r} cannot be the name of a file here",
            where=item.place,
            why="it would lie outside of the folder",
            hint="copy it by itself, to a name of its own",
        )
    return os.path.join(folder, *parts)


def _refuse_existing(places: Sequence[str | Target]) -> None:
    there = [place for place in places if isinstance(place, str) and os.path.lexists(place)]
    targets = [place for place in places if isinstance(place, Target)]
    for store, numbers in by_store(targets):
        exists = store.exists([targets[n].key for n in numbers])
        there += [targets[n].url for n, found in zip(numbers, exists, strict=True) if found]
    if there:
        raise _exists(there)


def _refuse_clashes(paths: Sequence[str]) -> None:
    """Raise for objects ``a`` and ``a/b``: here a name is a file or a folder."""
    files = set(paths)
    for path in paths:
        folder = os.path.dirname(path)
        while folder and folder not in files and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        if folder in files:
            raise FilesError(
                f"'{folder}' would be a file and a folder",
                where=path,
                why="a store may have objects 'a' and 'a/b', a disk cannot; nothing was copied",
                hint="copy one of the two by itself, to another name",
            )


def _exists(there: Sequence[str]) -> FilesError:
    more = f"\n… and {len(there) - _SHOWN:,} more" if len(there) > _SHOWN else ""
    what = f"'{there[0]}' exists" if len(there) == 1 else f"{len(there):,} files exist already"
    return FilesError(
        what,
        where="\n".join(there[:_SHOWN]) + more if len(there) > 1 else None,
        why="what is there is not replaced; nothing was copied",
        hint="--force replaces it",
    )


# --- copying ------------------------------------------------------------------------------------


def _save_all(items: Sequence[Item], paths: Sequence[str], force: bool, meter: Meter) -> list[int]:
    def one(pair: tuple[Item, str]) -> int:
        item, path = pair
        assert item.target is not None
        with new_file(path, force) as temporary:
            size = save(item.target.store, item.target, temporary, meter)
            if size is None:
                raise missing(item.target.url)
        meter.item()
        return size

    pairs = list(zip(items, paths, strict=True))
    return list(in_order(one, pairs, many=len(pairs) > 1))


def _put_all(
    items: Sequence[Item], targets: Sequence[Target], force: bool, meter: Meter
) -> list[int]:
    kept = _attributes(items)

    def uploads(numbers: Iterable[int]) -> Iterator[Upload]:
        for n in numbers:
            if items[n].target is None:
                yield upload_of(targets[n], None, items[n].path, None)
            else:
                yield Upload(targets[n], None, _stream_of(items[n]), kept[n])

    for store, numbers in by_store(targets):
        for target, written in upload(store, uploads(numbers), not force, meter):
            if not written:
                raise _exists([target.url])
    return [item.size for item in items]


def _attributes(items: Sequence[Item]) -> list[Any]:
    """Return the attributes of what lies in stores."""
    found: list[Any] = [None] * len(items)
    targets = [item.target for item in items if item.target is not None]
    for store, numbers in by_store(targets):
        infos = describe(store, [targets[n].key for n in numbers])
        for n, info in zip(numbers, infos, strict=True):
            if info is not None and any(info.attributes):
                own = decode_metadata(info.attributes.metadata)
                found[n] = info.attributes._replace(metadata=own)
    return found


def _stream_of(item: Item) -> Callable[[], Iterator[Any]]:
    def pieces() -> Iterator[Any]:
        target = item.target
        assert target is not None
        found = target.store.stream(target.key)
        if found is None:
            raise missing(target.url)
        yield from found

    return pieces


def _to_output(context: CommandContext, src: str, as_json: bool) -> list[Copied]:
    source = endpoint(context, src, is_source=True)
    if as_json or isinstance(source, Local):
        why = "--json writes there, too" if as_json else "it is no object of a store"
        raise FilesURLError(
            f"'{src}' cannot be written to the standard output",
            where=context.name,
            why=why,
            hint="name a file" if as_json else f"cat {src}",
        )
    (item,) = _items(context, source, False)
    size = 0
    for piece in _stream_of(item)():
        size += memoryview(piece).nbytes
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return [Copied(item.place, STANDARD, size)]


def _from_input(context: CommandContext, dst: str, force: bool) -> list[Copied]:
    goal = endpoint(context, dst, is_source=False)
    target = goal.target() if isinstance(goal, Remote) else None
    if target is None:
        raise FilesURLError(
            f"The standard input cannot be copied to '{dst}'",
            where=context.name,
            why="the name of an object is wanted",
            hint=typed(context, "- MyFlow/3/name"),
        )
    if not force:
        _refuse_existing([target])
    with Meter("copying", "copied", 1, None, summary=False) as meter:
        item = Upload(target, None, sys.stdin.buffer, None)
        ((_, written),) = upload(target.store, [item], not force, meter)
        if not written:
            raise _exists([target.url])
        return [Copied(STANDARD, target.url, meter.bytes)]


def _count(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"


command = Command("Copy files between this machine, runs and stores.", False, build)
