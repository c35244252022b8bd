"""What the client reads from, and which runs it shows: the session in force and the namespace."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_client.own_run import TaskReader
    from flow_client.reader import Reader
    from flow_core.api import Session, TaskContext

_DEFAULT = object()
_USER_VARIABLES = ("USER", "SUDO_USER", "USERNAME", "LOGNAME", "HOME", "XDG_CONFIG_HOME")


class _Scope:
    """The state of the client in this process.

    Attributes:
        task: the task that runs in this process. Not a context variable, so that threads which the
            step starts see it too.
        reader: what reads for it, once something is read: most tasks read nothing.
        outer: the tasks that run, in this process, the flow of that task.
        default: what is read elsewhere, and the folder and settings for which it was made.
        chosen: what `metadata` set, or None.
        namespace: what `namespace` set; `_DEFAULT` = nothing.
    """

    def __init__(self) -> None:
        self.task: TaskContext | None = None
        self.reader: TaskReader | None = None
        self.outer: list[TaskContext | None] = []
        self.default: tuple[Any, Reader] | None = None
        self.chosen: Reader | None = None
        self.namespace: Any = _DEFAULT


_scope = _Scope()
_using: ContextVar[Reader | None] = ContextVar("flow_client_using", default=None)


def reader(store: str | None = None) -> Reader:
    """Return what is to be read: `using`, `metadata`, the task's session, or that of the settings.

    With ``store`` always what reads from that store, and from the index which belongs to it.
    """
    if store is not None:
        if not isinstance(store, str):
            from flow_core.api import UsageError

            raise UsageError(
                f"The URL of a store is text, not {type(store).__name__}",
                where="store=",
                hint="store='s3://bucket/prefix'",
            )
        return reader_at(_url(store), _own_index())
    return _using.get() or _scope.chosen or _task_reader() or _default_reader()


def _task_reader() -> Reader | None:
    return task_reader(_scope.task) if _scope.task is not None else None


def task_reader(task: TaskContext) -> TaskReader:
    """Return what reads for the task that runs in this process."""
    if _scope.reader is None or _scope.task is not task:
        from flow_client.own_run import TaskReader

        made = TaskReader(task)
        if _scope.task is not task:
            return made
        _scope.reader = made
    return _scope.reader


def _default_reader() -> Reader:
    from flow_client.reader import Reader
    from flow_client.source import SettingsSource
    from flow_core.api import Settings

    settings = Settings()
    variables = settings.script_environment()
    named = {n: v for n, v in variables.items() if n.startswith("FLOW_") or n in _USER_VARIABLES}
    # A notebook that changes its folder or a variable then reads from there.
    key = (os.getcwd(), named)
    if _scope.default is None or _scope.default[0] != key:
        _scope.default = key, Reader(SettingsSource(settings))
    return _scope.default[1]


@contextmanager
def using(session: Session) -> Iterator[None]:
    """Let the client read from ``session`` within a ``with`` block.

    Objects made inside keep it. Other threads are not affected. Since 0.1.
    """
    from flow_client.reader import Reader

    with using_reader(Reader(session)):
        yield


@contextmanager
def using_reader(source: Reader) -> Iterator[None]:
    """As `using`, of a reader."""
    token = _using.set(source)
    try:
        yield
    finally:
        _using.reset(token)


@functools.lru_cache(8)
def reader_at(datastore: str, metadata: str) -> Reader:
    """Return what reads from a store and an index, given by their URLs."""
    from flow_client.reader import Reader
    from flow_client.source import SettingsSource
    from flow_core.api import Settings

    settings = Settings()
    settings.override("datastore", datastore, "the client")
    settings.override("metadata", metadata, "the client")
    return Reader(SettingsSource(settings))


def enter_task(task: TaskContext) -> None:
    """Let the client of this process read for its task. For the plugin's hooks."""
    _scope.outer.append(_scope.task)
    _scope.task, _scope.reader = task, None


def leave_task() -> None:
    """Undo `enter_task`."""
    _scope.task = _scope.outer.pop() if _scope.outer else None
    _scope.reader = None


# --- place --------------------------------------------------------------------------------------


def metadata(place: str, datastore: str | None = None) -> str:
    """Read from another index and store from now on, in the whole process.

    Args:
        place: the index: a folder (``"/data/movies"``, in which ``.flow`` is looked for), a
            provider's name, or a URL (``"local:///data/movies/.flow"``).
        datastore: the store, in the same forms; None = that of the same name and place if there is
            such a provider, else that of the settings.

        A store that has no index beside it, such as ``"s3://bucket/prefix"``, may stand for its own
        index, which is kept on this machine.

    Returns:
        the URL of the index. Nothing is read yet: what cannot be reached is an error when it is.

    Raises:
        UsageError: there is no such provider.

    Since 0.1.
    """
    from flow_core.api import Settings, installed

    index = _url(place)
    if datastore is None:
        name, known = index.partition("://")[0], installed()
        is_index = name in known.names("flow.metadata")
        beside = known.opens("flow.stores", index) and (
            not is_index or name in known.names("flow.stores")
        )
        datastore = index if beside else Settings()["datastore"]
        if beside and not is_index:
            index = _own_index()
    chosen = reader_at(_url(datastore), index)
    url = chosen.session.metadata.url
    _scope.chosen = chosen
    return url


def get_metadata() -> str:
    """Return the URL of the index that is read. Since 0.1."""
    return reader().session.metadata.url


def default_metadata() -> str:
    """Read again what the settings of the folder say, or the task's own; return its URL. Since 0.1."""
    _scope.chosen = None
    return get_metadata()


def _own_index() -> str:
    from flow_core.api import OWN_INDEX

    return OWN_INDEX


def _url(place: str) -> str:
    if "://" in place or not (os.sep in place or os.path.isdir(place)):
        return place
    folder = os.path.abspath(os.path.expanduser(place))
    inside = os.path.join(folder, ".flow")
    return f"local://{inside if os.path.isdir(inside) else folder}"


# --- namespace ----------------------------------------------------------------------------------


def namespace(name: str | None) -> str | None:
    """Show only runs that carry the tag ``name``; None shows all runs.

    It filters what is listed and found; it protects nothing. It holds for the whole process.

    Returns:
        the namespace now in force.

    Since 0.1.
    """
    _scope.namespace = name
    return name


def get_namespace() -> str | None:
    """Return the namespace in force; None = all runs. Since 0.1."""
    if _scope.namespace is _DEFAULT:
        return _default_namespace()
    chosen: str | None = _scope.namespace
    return chosen


def default_namespace() -> str:
    """Go back to the default namespace, ``user:NAME``, and return it.

    NAME is who started the run inside a task, else the setting ``user``, else the user of the
    operating system. Since 0.1.
    """
    _scope.namespace = _DEFAULT
    return _default_namespace()


def _default_namespace() -> str:
    from flow_core.api import current

    in_task: str | None = current.namespace
    return in_task or f"user:{reader().session.settings.user()}"
