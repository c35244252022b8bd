"""``ls``: the files beside a run, or below a URL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import Command, CommandContext, harmless
from flow_files.attributes import is_beside
from flow_files.errors import reported
from flow_files.places import entries
from flow_files.progress import size_text
from flow_files.where import (
    Remote,
    by_number,
    is_url,
    nothing_there,
    remote_run,
    remote_url,
    split_pathspec,
    typed,
    unknown_flow,
)

if TYPE_CHECKING:
    from flow_core.api import Session

_HELP = """List files that flows, or people, have put beside a run: Flow/run[/folder]. Without a run,
the runs of a flow that have some; without anything, the flows. A URL lists any store. In a flow file
the flow may be left out.

What flow-core itself keeps of a run is no file of it: flow dump shows artifacts, flow logs what tasks
wrote, flow card their pages."""


class Line(NamedTuple):
    """One line: an object, or a folder, which has no size."""

    name: str
    url: str
    size: int | None = None
    modified: float | None = None


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def ls(place: str | None, recursive: bool, as_json: bool) -> None:
        with reported():
            lines, note = _found(context, place, recursive)
        if as_json:
            context.echo(json.dumps([_data(line) for line in lines], indent=2))
            return
        for text in _table(lines):
            context.echo(text)
        if not lines:
            context.echo(click.style(note, dim=True), error=True)

    return click.Command(
        "ls",
        callback=ls,
        params=[
            click.Argument(["place"], required=False, metavar="[PATHSPEC|URL]"),
            click.Option(["--recursive", "-r"], is_flag=True, help="Also what is in folders."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _found(context: CommandContext, place: str | None, recursive: bool) -> tuple[list[Line], str]:
    """Return what is to be shown, and what to say when it is nothing."""
    if place is not None and is_url(place):
        remote = remote_url(place)
        return _listed(remote, recursive), f"There is nothing in {remote.shown}."
    session = context.session()
    spec = split_pathspec(context, place) if place else None
    if place and spec is None:
        raise nothing_named(context, place)
    if spec is None and context.flow is None:
        return _names(session, "files/"), "No run here has files of its own."
    flow, run, key = spec or (context.flow.__name__, "", "")
    if not run:
        known = session.store.folders("runs/")
        if flow not in known:
            raise unknown_flow(session, flow, known)
        return _names(session, f"files/{flow}/"), f"No run of {flow} has files of its own."
    remote = remote_run(session, flow, run, key, place or "")
    return _listed(remote, recursive), f"Run {flow}/{run} has no files of its own."


def nothing_named(context: CommandContext, place: str) -> Exception:
    """Return the error for a word that is neither a pathspec nor a URL."""
    from flow_files.errors import FilesURLError

    return FilesURLError(
        f"'{place}' names neither a run nor a URL",
        where=f"the argument of '{context.name}'",
        why="a pathspec is Flow, Flow/run or Flow/run/folder; a URL has ://",
        hint=f"{typed(context, 'MyFlow/3')}, or {typed(context, 's3://bucket/folder')}",
    )


def _names(session: Session, prefix: str) -> list[Line]:
    names = sorted(session.store.folders(prefix), key=by_number)
    return [Line(f"{name}/", f"{session.store.url}/{prefix}{name}") for name in names]


def _listed(remote: Remote, recursive: bool) -> list[Line]:
    lines = list(_below(remote) if recursive else _level(remote))
    if lines:
        return lines
    target = remote.target()
    if target is not None:
        (info,) = target.store.describe([target.key])
        if info is None:
            raise nothing_there(remote)
        return [Line(target.key.rpartition("/")[2], target.url, info.size, info.modified)]
    if remote.as_folder:
        raise nothing_there(remote._replace(as_folder=False))
    return []


def _level(remote: Remote) -> Iterator[Line]:
    folder = remote.folder()
    for name, size, modified in entries(folder):
        shown = name if size is not None else f"{name}/"
        yield Line(shown, f"{folder.url}/{name}", size, modified)


def _below(remote: Remote) -> Iterator[Line]:
    folder = remote.folder()
    for found in folder.store.list(folder.prefix):
        if not is_beside(found.key):
            target = folder.target(found.key)
            yield Line(target.name, target.url, found.size, found.modified)


def _table(lines: Sequence[Line]) -> Iterator[str]:
    cells = [
        (
            size_text(line.size) if line.size is not None else "",
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.modified))
            if line.modified is not None
            else "",
            harmless(line.name).replace("\n", "?"),
        )
        for line in lines
    ]
    widths = [max((len(cell[n]) for cell in cells), default=0) for n in range(2)]
    for size, changed, name in cells:
        head = [text for text in (size.rjust(widths[0]), changed.ljust(widths[1])) if text]
        yield "  ".join([*head, name])


def _data(line: Line) -> dict[str, Any]:
    return {
        "name": line.name.removesuffix("/"),
        "folder": line.size is None,
        "url": line.url,
        "size": line.size,
        "modified": line.modified,
    }


command = Command("List files beside a run, or below a URL.", False, build)
