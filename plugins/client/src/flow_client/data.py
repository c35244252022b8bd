"""Artifacts as attributes, parameters as a mapping: each value is read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flow_core.api import did_you_mean

if TYPE_CHECKING:
    from flow_client.run import Run
    from flow_client.task import Task
    from flow_core.api import ArtifactRef, RunDocument


class FlowData:
    """The artifacts of a task as attributes: ``task.data.x``, ``"x" in task.data``.

    A value is read anew each time: it may be large, and changing it changes nothing here.
    Since 0.1.
    """

    __slots__ = ("__table", "__task")

    def __init__(self, task: Task, table: Mapping[str, ArtifactRef]) -> None:
        self.__task = task
        self.__table = table

    def __getattr__(self, name: str) -> Any:
        if name not in self.__table:
            raise AttributeError(
                f"{self.__task!r} has no artifact '{name}' ({did_you_mean(name, self.__table)})"
            )
        return self.__task[name].data

    def __contains__(self, name: object) -> bool:
        return name in self.__table

    def __dir__(self) -> list[str]:
        return sorted(self.__table)

    def __repr__(self) -> str:
        return f"<FlowData of {self.__task.pathspec}: {', '.join(sorted(self.__table))}>"

    def _repr_html_(self) -> str:
        return self.__task._repr_html_()

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__task, "data")


class Parameters(Mapping[str, Any]):
    """The parameters of a run by name, in order of declaration.

    ``dict(run.parameters)`` reads all of them. Since 0.1.
    """

    def __init__(self, run: Run, document: RunDocument) -> None:
        self._run = run
        self._document = document

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._run, "parameters")

    def __getitem__(self, name: str) -> Any:
        ref = self._document.parameters[name]
        what = f"parameter '{name}' of run {self._document.flow}/{self._document.run}"
        return self._run._reader.session.artifacts.load(ref, what)

    def __iter__(self) -> Iterator[str]:
        return iter(self._document.parameters)

    def __len__(self) -> int:
        return len(self._document.parameters)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<Parameters {', '.join(self)}>"
