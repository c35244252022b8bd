"""What the words of a command mean: a file of this machine, something beside a run, or a URL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import CommandContext, command_line, files_prefix, near_misses, run_key
from flow_files.attributes import FOLDER
from flow_files.errors import FilesNotFound, FilesURLError
from flow_files.places import Folder, Locator, Place, check_run, checked_key, open_store

if TYPE_CHECKING:
    from flow_core.api import Session
    from flow_files.places import Target

_SHOWN = 5
STANDARD = "-"


class Local(NamedTuple):
    """A path of this machine.

    Attributes:
        path: as it was written, ``~`` replaced.
        shown: as it was written.
    """

    path: str
    shown: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or written like one."""
        return self.path.endswith(("/", os.sep)) or os.path.isdir(self.path)


class Remote(NamedTuple):
    """Something in a store.

    Attributes:
        locator: of the run, or of full URLs.
        key: its key there; None = all of the run.
        shown: as it was written, without ``/`` at the end.
        as_folder: whether it was written as a folder, with ``/`` at the end.
    """

    locator: Locator
    key: str | None
    shown: str
    as_folder: bool

    def folder(self) -> Folder:
        """Return it as a folder."""
        return self.locator.folder(self.key)

    def target(self) -> Target | None:
        """Return it as an object; None for a run, or a whole store."""
        if self.key is None or self.as_folder or _is_whole_store(self.key):
            return None
        return self.locator.target(self.key)

    def below(self, name: str) -> Target:
        """Return an object below it, as a folder.

        Raises:
            FilesURLError: ``name`` can be no key.
        """
        folder = self.folder()
        return folder.target(folder.prefix + checked_key(name, self.shown))


def _is_whole_store(key: str) -> bool:
    """Whether a key is ``s3://bucket`` or ``file:///``."""
    place = key.partition("://")[2]
    return is_url(key) and (not place.strip("/") or "/" not in place)


def is_url(text: str) -> bool:
    """Whether a word is a URL."""
    return "://" in text


def remote_url(text: str) -> Remote:
    """Return what a URL names."""
    bare = text.rstrip("/") if text.partition("://")[2].strip("/") else text
    return Remote(Locator(None, open_store), bare, bare, text.endswith("/"))


def split_pathspec(context: CommandContext, text: str) -> tuple[str, str, str] | None:
    """Return flow, run (``''`` = all) and key (``''`` = all) of a word; None if it is no pathspec."""
    parts = text.strip("/").split("/")
    # Names of flows are identifiers, run ids never are.
    if not parts[0].isidentifier() and context.flow is not None:
        parts.insert(0, context.flow.__name__)
    if not parts[0].isidentifier():
        return None
    flow, run, *key = [*parts, ""][: max(2, len(parts))]
    return flow, run, "/".join(key)


def remote_run(session: Session, flow: str, run: str, key: str, text: str) -> Remote:
    """Return what lies beside a run.

    Raises:
        FilesNotFound: there is no such run.
    """
    check_run(session.store, flow, run)
    place = Place(session.store, files_prefix(flow, run))
    return Remote(
        Locator(place, open_store), key or None, text.rstrip("/"), text.endswith("/") and bool(key)
    )


def endpoint(context: CommandContext, text: str, *, is_source: bool) -> Local | Remote:
    """Return what a word of ``cp`` means.

    ``./x``, ``/x``, ``~/x`` and words without ``/`` are files of this machine, as is what looks like
    a pathspec, but names no run and is there.

    Raises:
        FilesNotFound: it is none of these.
        FilesURLError: it may be a run as well as a file.
    """
    if is_url(text):
        return remote_url(text)
    local = Local(os.path.expanduser(text), text)
    if not text or text.startswith((".", "/", "~")) or os.path.isabs(text):
        return local
    spec = split_pathspec(context, text)
    if spec is None or not spec[1]:
        return local
    flow, run, key = spec
    session = context.session()
    is_run = session.store.exists([run_key(flow, run)])[0]
    is_local = os.path.lexists(text if is_source else os.path.dirname(text.rstrip("/")))
    if is_run and is_local:
        raise FilesURLError(
            f"'{text}' may be a file or beside a run",
            where=context.name,
            why=f"there is a run {flow}/{run}, and a file of this name here",
            hint=f"./{text} for the file, {session.store.url}/{files_prefix(flow, run)}{key} for the run",
        )
    if is_local and not is_run:
        return local
    return remote_run(session, flow, run, key, text)


def typed(context: CommandContext, arguments: str) -> str:
    """Return what a person types to call the command again, with other arguments."""
    return command_line(context.session(), context.name, arguments)


def nothing_there(remote: Remote, what: str = "object or folder") -> FilesNotFound:
    """Return the error for a word that names nothing, with what may be meant."""
    target = remote.target()
    name, names = "", []
    if target is not None:
        parent, _, name = target.key.rpartition("/")
        prefix = f"{parent}/" if parent else ""
        names = [n for n in target.store.folders(prefix) if n not in (FOLDER, name)]
    close = near_misses(name, names) if name else []
    if close:
        hint = "did you mean " + " or ".join(f"'{_beside(remote, c)}'" for c in close) + "?"
    elif names:
        hint = "there are: " + _few(names)
    else:
        hint = f"flow ls {_beside(remote, '') or remote.shown}"
    where = target.url if target is not None else remote.shown
    return FilesNotFound(
        f"There is no {what} '{remote.shown}'", where=where, why="nothing was put there", hint=hint
    )


def _beside(remote: Remote, name: str) -> str:
    folder, slash, _ = remote.shown.rpartition("/")
    return f"{folder}{slash if name else ''}{name}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def unknown_flow(session: Session, flow: str, known: Sequence[str]) -> FilesNotFound:
    """Return the error for a flow of which there are no runs."""
    close = near_misses(flow, known)
    if close:
        hint = "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    else:
        hint = f"flows here: {_few(known)}" if known else "nothing has been run here yet"
    return FilesNotFound(
        f"There is no run of a flow '{flow}'",
        where=session.store.url,
        why="the store has no record of one",
        hint=hint,
    )


def by_number(name: str) -> Any:
    """Sort key: numbers as numbers, then other names."""
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)
