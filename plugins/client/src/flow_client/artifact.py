"""`DataArtifact`: one stored value."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from flow_client.base import Entity
from flow_client.pathspec import split
from flow_core.api import ArtifactError, InputRef, PluginError

if TYPE_CHECKING:
    from flow_client.task import Task
    from flow_core.api import ArtifactRef


class DataArtifact(Entity):
    """One artifact of a task: its value, and what is known without reading it.

    Args:
        pathspec: ``Flow/run/step/task/artifact``.
        attempt: number of the attempt; None = the latest.
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Raises:
        UsageError: the pathspec has another form.
        ObjectNotFound: there is no such task, or it has no such artifact.
        NamespaceMismatch: the run is not in the namespace.

    Since 0.1.
    """

    __slots__ = ("_name", "_ref", "_task")
    _name: str
    _ref: ArtifactRef
    _task: Task

    def __init__(
        self, pathspec: str, attempt: int | None = None, *, store: str | None = None
    ) -> None:
        *task, name = split("DataArtifact", pathspec)
        found = _task("/".join(task), attempt, store)[name]
        self._reader, self._task = found._reader, found._task
        self._name, self._ref = name, found._ref

    @classmethod
    def _of(cls, task: Task, name: str, ref: ArtifactRef) -> DataArtifact:
        artifact = cls.__new__(cls)
        artifact._reader = task._reader
        artifact._task = task
        artifact._name = name
        artifact._ref = ref
        return artifact

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> DataArtifact:
        from flow_client.task import Task

        task, _, name = pathspec.rpartition("/")
        found: DataArtifact = Task._restore(task, attempt)[name]
        return found

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task/artifact``."""
        return f"{self._task.pathspec}/{self._name}"

    @property
    def _pinned(self) -> int | None:
        return self._task._pinned

    @property
    def parent(self) -> Task:
        """The task."""
        return self._task

    @property
    def origin_pathspec(self) -> str | None:
        """The artifact of the earlier task whose result stands for this one's task, or None."""
        origin = self._task.origin_pathspec
        return f"{origin}/{self._name}" if origin else None

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the run."""
        return self._task.tags

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags of the run that people gave."""
        return self._task.user_tags

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags of the run that flow-core gave."""
        return self._task.system_tags

    @property
    def data(self) -> Any:
        """The value, read anew each time.

        Raises:
            IntegrityError: the stored bytes are not those that were written; nothing is unpickled.
            ArtifactError: they cannot be turned into a value here, for example for want of a class.
        """
        what = f"artifact '{self._name}' of {self._task.pathspec}"
        artifacts = self._reader.session.artifacts
        try:
            return artifacts.load(self._ref, what)
        except (ArtifactError, PluginError) as error:
            from flow_core.api import explain_unreadable  # most values can be read

            record = self._task._record
            holder = InputRef(record.step, record.task, record.attempt)
            document = self._task._run._document
            raise explain_unreadable(
                error, artifacts, document, self._name, self._ref, [holder]
            ) from error.__cause__

    @property
    def sha(self) -> str:
        """The hash of the stored bytes (BLAKE3): equal hash = equal value."""
        return self._ref.hash

    @property
    def size(self) -> int:
        """The number of stored bytes."""
        return self._ref.size

    @property
    def type(self) -> str:
        """The qualified name of the value's class."""
        return self._ref.type

    @property
    def created_at(self) -> datetime | None:
        """When it was stored: when its task ended."""
        return self._task.finished_at

    @property
    def finished_at(self) -> datetime | None:
        """As `created_at`."""
        return self._task.finished_at

    def _repr_html_(self) -> str:
        from flow_client.html import artifact_table

        return artifact_table(self)


def _task(pathspec: str, attempt: int | None, store: str | None) -> Task:
    from flow_client.task import Task

    return Task(pathspec, attempt, store=store)
