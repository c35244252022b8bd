"""Finds runs, and the code that they have kept or that a flow has today."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    CodeFile,
    CommandContext,
    CurrentCode,
    NotFound,
    RunDocument,
    RunRecord,
    UsageError,
    current_code,
    read_code,
    unknown_run,
)

if TYPE_CHECKING:
    from flow_core.api import Session

TODAY = "today"
"""What today's code is called beside a run."""


class FoundRun(NamedTuple):
    """A run: what the index keeps of it, and what was fixed when it started."""

    record: RunRecord
    document: RunDocument

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return self.record.pathspec


def find_run(context: CommandContext, text: str) -> FoundRun:
    """Return the run that ``Flow/run`` names; in a flow file also ``run``.

    Raises:
        UsageError: it has another form.
        NotFound: there is no such run.
    """
    parts = text.strip("/").split("/")
    if len(parts) == 1 and context.flow is not None:
        parts.insert(0, context.flow.__name__)
    if len(parts) != 2 or not all(parts):
        example = "3" if context.flow is not None else "MyFlow/3"
        if context.flow is None and text.endswith(".py"):
            example += f"; for the flow in that file: python {text} {context.name} …"
        raise UsageError(
            f"'{text}' names no run",
            where=f"the argument of '{context.name}'",
            why="a run is Flow/run, in a flow file also run",
            hint=example,
        )
    session: Session = context.session()
    record = session.metadata.run(*parts)
    if record is None:
        raise unknown_run(session, *parts)
    return FoundRun(record, session.run_document(*parts))


def code_of_run(session: Session, run: FoundRun) -> dict[str, CodeFile]:
    """Return the files that a run has kept.

    Raises:
        NotFound: it has kept none.
    """
    what = f"the code of run {run.pathspec}"
    if run.document.code is None:
        raise NotFound(
            f"Run {run.pathspec} has kept no code",
            why="its flow was in no file: a cell of a notebook, for example",
        )
    return read_code(session.artifacts.get_bytes(run.document.code, what), what)


def code_of_today(
    context: CommandContext, run: FoundRun | None, folder: str | None = None
) -> CurrentCode:
    """Return what a run would keep if it started now.

    Args:
        context: where a flow was given, its file counts.
        run: else the file that this run was started from.
        folder: look for that file here instead.

    Raises:
        NotFound: the file is not there.
    """
    session: Session = context.session()
    if context.flow is not None and folder is None:
        return current_code(session)
    assert run is not None, "without a flow a run is named"
    file = str(run.document.graph["file"])
    if folder is not None:
        file = _in(folder, run, file)
    if not os.path.isfile(file):
        raise NotFound(
            f"The file of the flow {run.document.flow} is not there",
            where=file,
            why="it was moved or renamed, or the run is of another machine",
            hint="say where it is: --dir FOLDER",
        )
    return current_code(session, file)


def _in(folder: str, run: FoundRun, file: str) -> str:
    """Return the flow's file in a folder that has it as the snapshot has, or alone."""
    inside = os.path.join(folder, *str(run.document.info.get("script", "")).split("/"))
    return inside if os.path.isfile(inside) else os.path.join(folder, os.path.basename(file))
