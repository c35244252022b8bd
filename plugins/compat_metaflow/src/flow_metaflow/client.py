"""The predecessor's client: flow-core's objects under the names, and with the meanings, of old code.

``finished`` and ``successful`` mean what they meant: a run, or a task, is finished when its result is
there. What flow-core's objects offer beyond that (``state``, ``failed``, ``parameters``, …) is there too.
"""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple

import flow_core
from flow_core.api import FlowError, NotFound, UsageError
from flow_metaflow.exceptions import (
    MetaflowExceptionWrapper,
    MetaflowInternalError,
    MetaflowInvalidPathspec,
    MetaflowTaggingError,
    at_border,
    border,
    translated,
)

_KINDS = ("Flow", "Run", "Step", "Task", "DataArtifact")
_OK = ("succeeded", "reused", "caught")


class Metadata(NamedTuple):
    """One thing that is known of a task; ``value`` is text."""

    name: str
    value: str
    created_at: datetime | None
    type: str
    task: Any


def wrap(value: Any) -> Any:
    """Return what flow-core's client gives in the predecessor's form."""
    if isinstance(value, MetaflowObject):
        return value
    for kind in _KINDS:
        if isinstance(value, getattr(flow_core, kind)):
            made = _CLASSES[kind].__new__(_CLASSES[kind])
            made._inner = value
            return made
    if isinstance(value, list):
        return [wrap(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone().replace(tzinfo=None)  # as old scripts compare and subtract them
    if isinstance(value, Iterator):
        return _each(value)
    if callable(value) and type(value).__name__ in ("method", "builtin_function_or_method"):
        return lambda *a, **k: wrap(at_border(value)(*a, **k))
    return value


def _each(values: Iterator[Any]) -> Iterator[Any]:
    with border():
        for value in values:
            yield wrap(value)


class MetaflowObject:
    """What all objects of the client have in common.

    Args:
        pathspec: ``Flow/run/step/task/artifact``, cut to the depth of the object.
        attempt: number of the attempt, for tasks and artifacts; None = the latest.
        _namespace_check: False = it is found in any namespace.

    Times are local, without a time zone.

    Raises:
        MetaflowInternalError: an attempt of something that has none.
        MetaflowNotFound: there is none.
        MetaflowNamespaceMismatch: there is, but not in the namespace.
        MetaflowInvalidPathspec: the pathspec has another form.
    """

    _inner: Any

    def __init__(
        self, pathspec: str, attempt: int | None = None, _namespace_check: bool = True
    ) -> None:
        kind = type(self).__name__
        if attempt is not None and kind not in ("Task", "DataArtifact"):
            raise MetaflowInternalError("Attempts can only be given for a Task or a DataArtifact")
        extra = () if attempt is None else (attempt,)
        try:
            with nullcontext() if _namespace_check else _everywhere():
                self._inner = getattr(flow_core, kind)(pathspec, *extra)
        except NotFound as error:
            raise translated(error) from None
        except UsageError as error:
            raise MetaflowInvalidPathspec.of(error) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        with border():
            return wrap(getattr(self._inner, name))

    def __iter__(self) -> Iterator[Any]:
        return _each(iter(self._inner))

    def __getitem__(self, name: str | int) -> Any:
        try:
            return wrap(self._inner[name])
        except FlowError as error:
            raise KeyError(error.what) from None

    def __contains__(self, name: object) -> bool:
        return name in self._inner

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and bool(self._inner == other._inner)

    def __hash__(self) -> int:
        return hash(self._inner)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pathspec!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return wrap, (self._inner,)

    def _repr_html_(self) -> str:
        return str(self._inner._repr_html_())

    def _ipython_key_completions_(self) -> list[str]:
        return [child.id for child in self]

    def is_in_namespace(self) -> bool:
        """Whether it is in the namespace in force."""
        chosen = get_namespace()
        return chosen is None or chosen in self.tags


class Flow(MetaflowObject):
    """All runs of one flow."""


class Run(MetaflowObject):
    """One run."""

    @property
    def successful(self) -> bool:
        """Whether its end task ran to its end."""
        return bool(self._inner.successful) and not self._caught_at_end()

    @property
    def finished(self) -> bool:
        """Whether its result is there: True for what `successful` is, or was caught at the end."""
        return bool(self._inner.successful)

    def _caught_at_end(self) -> bool:
        task = self._inner.end_task
        return task is not None and task.state == "caught"

    @property
    def code(self) -> MetaflowCode | None:
        """The code that it was started with."""
        found = self._inner.code
        return MetaflowCode(found) if found is not None else None

    @property
    def data(self) -> MetaflowData | None:
        """The artifacts of its end task."""
        task = self.end_task
        return task.data if task is not None else None

    def steps(self, *tags: str) -> Iterator[Step]:
        """Yield its steps; none when it lacks one of ``tags``."""
        return iter(self) if set(tags) <= self.tags else iter(())

    def add_tag(self, tag: str | Iterable[str]) -> None:
        """Add one tag, or several."""
        self._change((), tag)

    def add_tags(self, tags: str | Iterable[str]) -> None:
        """Add tags."""
        self._change((), tags)

    def remove_tag(self, tag: str | Iterable[str]) -> None:
        """Remove one tag, or several."""
        self._change(tag, ())

    def remove_tags(self, tags: str | Iterable[str]) -> None:
        """Remove tags."""
        self._change(tags, ())

    def replace_tag(self, tag_to_remove: Any, tag_to_add: Any) -> None:
        """Replace one tag by another."""
        self._change(tag_to_remove, tag_to_add)

    def replace_tags(self, tags_to_remove: Any, tags_to_add: Any) -> None:
        """Remove tags and add others, at once."""
        self._change(tags_to_remove, tags_to_add)

    def _change(self, removed: Any, added: Any) -> None:
        lists = [[t] if isinstance(t, str) else list(t) for t in (removed, added)]
        try:
            self._inner.replace_tags(*lists)
        except UsageError as error:
            raise MetaflowTaggingError.of(error) from None


class Step(MetaflowObject):
    """One step of a run."""

    def tasks(self, *tags: str) -> Iterator[Task]:
        """Yield its tasks; none when the run lacks one of ``tags``."""
        return iter(self) if set(tags) <= self.tags else iter(())

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """Yield the main tasks of its gangs."""
        return _each(self._inner.control_tasks())

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the run."""
        return frozenset(self._inner.parent.tags)

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended; None while one runs."""
        ends = [task.finished_at for task in self._inner.tasks()]
        last: datetime | None = wrap(max(ends)) if ends and all(ends) else None
        return last

    @property
    def environment_info(self) -> dict[str, Any]:
        """Facts about where it ran."""
        return dict(self._inner.parent.info)


class Task(MetaflowObject):
    """One task of a run, or one of its attempts."""

    @property
    def successful(self) -> bool:
        """Whether its step ran to its end: False for a failure that was caught."""
        return bool(self._inner.successful)

    @property
    def finished(self) -> bool:
        """Whether its result is there; False for a task that failed for good."""
        return self._inner.state in _OK

    @property
    def exception(self) -> MetaflowExceptionWrapper | None:
        """Why it failed; None on success, and for a failure that was caught."""
        found = self._inner.exception
        if found is None or self._inner.state in _OK:
            return None
        return MetaflowExceptionWrapper.of(found)

    @property
    def data(self) -> MetaflowData:
        """Its artifacts as attributes."""
        return MetaflowData(self)

    @property
    def artifacts(self) -> Any:
        """Its artifacts by name: ``task.artifacts.x.data``."""
        found = {artifact.id: wrap(artifact) for artifact in self._inner.artifacts}
        return namedtuple("MetaflowArtifacts", list(found))(**found)

    @property
    def code(self) -> MetaflowCode | None:
        """The code of the run."""
        found = self._inner.code
        return MetaflowCode(found) if found is not None else None

    def loglines(
        self, stream: str, as_unicode: bool = True, meta_dict: Any = None
    ) -> Iterator[tuple[datetime | None, Any]]:
        """Yield (time, line) of a stream. Lines have no times of their own: it is that of the task."""
        at = self.created_at
        for line in self._inner.loglines(stream):
            yield at, line if as_unicode else line.encode()

    @property
    def metadata_dict(self) -> dict[str, str]:
        """What is known of it, by name, as text."""
        return {name: str(value) for name, value in self._facts().items()}

    @property
    def metadata(self) -> list[Metadata]:
        """As `metadata_dict`, as a list."""
        at = self.finished_at or self.created_at
        return [Metadata(name, value, at, name, self) for name, value in self.metadata_dict.items()]

    def _facts(self) -> dict[str, Any]:
        inner, info = self._inner, self._run.info
        origin = (inner.origin_pathspec or "").split("/")
        facts = {
            **inner.metadata_dict,
            "user": info.get("user"),
            "script-name": info.get("script"),
            "python_version": info.get("python"),
            "runtime": "dev",
            "attempt_ok": self.finished,
            "origin-run-id": origin[1] if len(origin) == 4 else None,
            "origin-task-id": origin[3] if len(origin) == 4 else None,
            "git-info": info.get("git"),
        }
        return {name: value for name, value in facts.items() if value is not None}

    @property
    def _run(self) -> Any:
        return self._inner.parent.parent

    @property
    def runtime_name(self) -> str:
        """``dev``: it was started by a person."""
        return "dev"

    @property
    def environment_info(self) -> dict[str, Any]:
        """Facts about where it ran."""
        return dict(self._run.info)

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of the tasks whose results it read."""
        return (task.pathspec for task in self.parent_tasks)

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of the tasks that read its result."""
        return (task.pathspec for task in self.child_tasks)


class DataArtifact(MetaflowObject):
    """One stored value."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class MetaflowData:
    """The artifacts of a task as attributes; each is read when it is asked for."""

    def __init__(self, task: Task) -> None:
        self._data = task._inner.data

    def __getattr__(self, name: str) -> Any:
        if name == "_data":  # while unpickling
            raise AttributeError(name)
        return getattr(self._data, name)

    def __contains__(self, name: object) -> bool:
        return name in self._data

    def __dir__(self) -> list[str]:
        return dir(self._data)

    def __repr__(self) -> str:
        return f"<MetaflowData: {', '.join(dir(self._data))}>"


class MetaflowCode:
    """The code snapshot of a run."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def path(self) -> str:
        """The hash of the snapshot in the store."""
        return str(self._inner.sha)

    @property
    def script_name(self) -> str:
        """Name of the flow file."""
        return str(self._inner.script_name)

    @property
    def flowspec(self) -> str:
        """The text of the flow file."""
        return str(self._inner.flowspec)

    @property
    def tarball(self) -> Any:
        """The snapshot, a `tarfile.TarFile`."""
        return self._inner.tarball

    @property
    def info(self) -> dict[str, str]:
        """What is known of it."""
        return {"script": self.script_name}

    def extract(self) -> Any:
        """Unpack into a temporary folder and return it, a `tempfile.TemporaryDirectory`."""
        import tempfile

        folder = tempfile.TemporaryDirectory()
        self._inner.extract(folder.name)
        return folder

    def __repr__(self) -> str:
        return f"<MetaflowCode {self.script_name}>"


class Metaflow:
    """All flows that have runs in the namespace."""

    @property
    def flows(self) -> list[Flow]:
        """The flows, by name."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        return _each(iter(flow_core.flows()))

    def __getitem__(self, name: str) -> Flow:
        try:
            return Flow(name)
        except FlowError as error:
            raise KeyError(error.what) from None

    def __contains__(self, name: object) -> bool:
        return any(flow.id == name for flow in self)

    def __repr__(self) -> str:
        return "Metaflow()"


_CLASSES: dict[str, type[MetaflowObject]] = {
    cls.__name__: cls for cls in (Flow, Run, Step, Task, DataArtifact)
}


@contextmanager
def _everywhere() -> Iterator[None]:
    """Find objects of all namespaces within a ``with`` block."""
    earlier = flow_core.get_namespace()
    flow_core.namespace(None)
    try:
        yield
    finally:
        flow_core.namespace(earlier)


# --- what is read -------------------------------------------------------------------------------


def namespace(ns: str | None) -> str | None:
    """Show only runs that carry the tag ``ns``; None shows all."""
    chosen: str | None = flow_core.namespace(ns)
    return chosen


def get_namespace() -> str | None:
    """Return the namespace in force."""
    chosen: str | None = flow_core.get_namespace()
    return chosen


def default_namespace() -> str:
    """Go back to the default namespace and return it."""
    chosen: str = flow_core.default_namespace()
    return chosen


def metadata(ms: str) -> str:
    """Read from another place: ``local@/folder`` or ``/folder``, the folder that holds ``.flow``.

    Raises:
        MetaflowException: it is another kind of provider, which is not offered.
    """
    kind, at, place = ms.partition("@")
    if not at and ms != "local":
        kind, place = ("service", ms) if "://" in ms else ("local", ms)
    if kind != "local":
        raise translated(
            UsageError(
                f"metadata('{ms}') is not offered by flow-metaflow",
                why="there is no metadata service; runs are indexed beside the store",
                hint="metadata('local@/folder')",
            )
        )
    if place:
        folder = os.path.abspath(os.path.expanduser(place))
        folder = folder if os.path.basename(folder) == ".flow" else os.path.join(folder, ".flow")
        _read_from(f"local://{folder}")
    else:
        default_metadata()
    return get_metadata()


def get_metadata() -> str:
    """Return what is read: ``local@/folder``."""
    from flow_core.api import Settings, state_folder

    kind, _, place = Settings()["datastore"].partition("://")
    folder = os.path.dirname(state_folder(place or None)) if kind == "local" else place
    return f"{kind}@{folder}"


def default_metadata() -> str:
    """Read again from where the settings say, and return it."""
    _read_from(_default.get("FLOW_DATASTORE"))
    return get_metadata()


def inspect_spin(datastore_root: str = ".") -> None:
    """Read what ``spin`` has left: it lies with all other runs."""
    metadata(datastore_root)


_default: dict[str, str] = dict(os.environ)


def _read_from(store: str | None) -> None:
    # The client looks at the variables each time that it is asked.
    if store is None:
        os.environ.pop("FLOW_DATASTORE", None)
    else:
        os.environ["FLOW_DATASTORE"] = store
