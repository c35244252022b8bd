"""`Run`: one run, with its state, tags, parameters, code and steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flow_client.base import Container
from flow_client.data import FlowData, Parameters
from flow_client.errors import NamespaceMismatch, ObjectNotFound
from flow_client.pathspec import split
from flow_client.reader import moment
from flow_client.scope import get_namespace, reader
from flow_client.step import Step
from flow_core.api import RunRecord, RunState, UsageError, change_tags, seems_lost

if TYPE_CHECKING:
    from flow_client.code import Code
    from flow_client.flow import Flow
    from flow_client.reader import Reader
    from flow_client.task import Task
    from flow_core.api import RunDocument, Session, TaskContext

ENDED = frozenset({"succeeded", "failed", "interrupted"})
LOST = "lost"
_SHOWN = 20


class Run(Container[Step]):
    """One run. Its children are the steps that have started, newest first.

    What is read of a run that has ended is kept; of one that has not, it is read again each time,
    so that ``while not run.finished`` works.

    Args:
        pathspec: ``Flow/run``.
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Raises:
        UsageError: the pathspec has another form.
        ObjectNotFound: there is no such run.
        NamespaceMismatch: there is, but not in the namespace.

    Since 0.1.
    """

    __slots__ = ("_record",)
    _record: RunRecord

    def __init__(self, pathspec: str, *, store: str | None = None) -> None:
        flow, run = split("Run", pathspec)
        found = Run._find(reader(store), flow, run)
        self._reader, self._record = found._reader, found._record

    @classmethod
    def of_session(cls, session: Session, pathspec: str) -> Run:
        """Return a run that is read through ``session``, whatever the namespace.

        This is how the kernel gets the run that ``MyFlow.run()`` returns. Since 0.1.
        """
        from flow_client.reader import Reader

        return cls._find(Reader(session), *split("Run", pathspec), anywhere=True)

    @classmethod
    def _of(cls, reader: Reader, record: RunRecord) -> Run:
        run = cls.__new__(cls)
        run._reader = reader
        run._record = record
        return run

    @classmethod
    def _find(cls, source: Reader, flow: str, run: str, *, anywhere: bool = False) -> Run:
        """Return a run that must be in the namespace, or ``anywhere``."""
        record = source.run(flow, run)
        if record is None:
            raise _missing(source, flow, run)
        name = None if anywhere else get_namespace()
        if name is not None and name not in (*record.tags, *record.system_tags):
            raise NamespaceMismatch(
                f"Run '{flow}/{run}' is not in the namespace '{name}'",
                where=source.session.metadata.url,
                why="its tags are: " + (", ".join((*record.tags, *record.system_tags)) or "none"),
                hint="namespace(None) shows the runs of everybody",
            )
        return cls._of(source, record)

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> Run:
        flow, run = split("Run", pathspec)
        return cls._find(reader(), flow, run, anywhere=True)

    # --- what it is -----------------------------------------------------------------------------

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return self._record.pathspec

    @property
    def parent(self) -> Flow:
        """The flow."""
        from flow_client.flow import Flow

        return Flow._of(self._reader, self._record.flow)

    @property
    def created_at(self) -> datetime:
        """When the run was started."""
        found = moment(self._record.created_at)
        assert found is not None
        return found

    @property
    def finished_at(self) -> datetime | None:
        """When the run ended; None while it runs, and for a lost one."""
        return moment(self._fresh().finished_at)

    @property
    def user(self) -> str:
        """Who started it."""
        return self._record.user

    @property
    def origin_pathspec(self) -> str | None:
        """The run that this one resumes, or None."""
        return self._record.origin

    @property
    def info(self) -> dict[str, Any]:
        """Facts for people: command, versions, git state, host, user."""
        document = self._document
        return {"user": document.user, "pid": self._record.pid, **document.info}

    @property
    def graph(self) -> Mapping[str, Any]:
        """The graph as JSON data: ``run.graph["steps"]["start"]["targets"]``."""
        return self._document.graph

    @property
    def parameters(self) -> Parameters:
        """The parameters by name, each read when it is asked for."""
        return Parameters(self, self._document)

    @property
    def trigger(self) -> Any:
        """The `Trigger` that started the run: events, or runs of other flows; None for a person.

        Raises:
            ImportError: something started it, and no plugin offers `Trigger`.
        """
        events = self._document.notes.get("trigger")
        if not events:
            return None
        from flow_core import Trigger  # offered by a plugin

        return Trigger.from_json(events)

    @property
    def code(self) -> Code | None:
        """The snapshot of the code: the files, or the cells of a notebook that define the flow."""
        from flow_client.code import Code

        document = self._document
        if document.code is None:
            return None
        info = document.info
        return Code(self, document.code, str(info.get("script", "")), info)

    @property
    def _document(self) -> RunDocument:
        return self._reader.document(self._record.flow, self._record.run)

    # --- how it goes ----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``created``, ``running``, ``succeeded``, ``failed``, ``interrupted``, or ``lost``.

        Lost is a run that should run, but whose launcher gave no sign of life for a minute, or was
        a process of this machine that is gone.
        """
        record = self._fresh()
        if record.state.value in ENDED or not seems_lost(record):
            return record.state.value
        # It may have ended between our reading and our looking for its process.
        state = self._fresh().state.value
        return state if state in ENDED else LOST

    @property
    def successful(self) -> bool:
        """Whether it ended well."""
        return self._fresh().state is RunState.SUCCEEDED

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more: it ended, well or not, or is lost."""
        return self.state in {*ENDED, LOST}

    @property
    def failed(self) -> bool:
        """Whether it ended without success: failed, interrupted or lost."""
        return self.finished and not self.successful

    @property
    def message(self) -> str:
        """Why it failed, in one line; ``""`` otherwise."""
        return self._fresh().message

    def _fresh(self) -> RunRecord:
        if self._record.state.value not in ENDED:
            found = self._reader.run(self._record.flow, self._record.run)
            self._record = found or self._record
        return self._record

    # --- tags -----------------------------------------------------------------------------------

    @property
    def tags(self) -> frozenset[str]:
        """The tags, as they were when this object was made or changed them."""
        return self.user_tags | self.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags that people gave."""
        return frozenset(self._record.tags)

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags that flow-core gave, such as ``user:ada``. They cannot be changed."""
        return frozenset(self._record.system_tags)

    def add_tag(self, tag: str) -> None:
        """Add one tag; errors as `replace_tags`."""
        self.replace_tags((), (tag,))

    def add_tags(self, tags: Iterable[str]) -> None:
        """Add tags; errors as `replace_tags`."""
        self.replace_tags((), tags)

    def remove_tag(self, tag: str) -> None:
        """Remove one tag; errors as `replace_tags`."""
        self.replace_tags((tag,), ())

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Remove tags; errors as `replace_tags`."""
        self.replace_tags(tags, ())

    def replace_tag(self, tag_to_remove: str, tag_to_add: str) -> None:
        """Replace one tag by another; errors as `replace_tags`."""
        self.replace_tags((tag_to_remove,), (tag_to_add,))

    def replace_tags(self, tags_to_remove: Iterable[str], tags_to_add: Iterable[str]) -> None:
        """Remove tags and add others, at once; what others change at the same time is kept.

        Removing a tag that is not there, and adding one that is, changes nothing.

        Raises:
            UsageError: a tag is empty or too long, there are too many, one is to be removed that
                flow-core gave, or text is given where a list of texts is wanted.
        """
        removed, added = _tag_list(tags_to_remove), _tag_list(tags_to_add)
        session = self._reader.session
        tags = change_tags(
            session.metadata,
            session.store,
            self._record.flow,
            self._record.run,
            add=added,
            remove=removed,
        )
        self._record = self._record._replace(tags=tags)

    # --- what came of it ------------------------------------------------------------------------

    def steps(self, *tags: str) -> Iterator[Step]:
        """Yield the steps that have started, newest first.

        Args:
            tags: none is yielded unless the run carries all of these.
        """
        if not {*tags} <= self.tags:
            return
        found = self._reader.steps(self._record.flow, self._record.run)
        for summary in reversed(found):
            yield Step._of(self, summary.step, summary)

    @property
    def end_task(self) -> Task | None:
        """The task of the last step; None when the run did not get there."""
        return Step._of(self, self.graph["end"]).task

    @property
    def data(self) -> FlowData | None:
        """The artifacts of the end task, as attributes; None when the run did not get there."""
        task = self.end_task
        return task.data if task is not None else None

    def _children(self) -> Iterator[Step]:
        return self.steps()

    def _child(self, name: str) -> Step:
        return Step._find(self, name)

    def _repr_html_(self) -> str:
        from flow_client.html import run_table

        return run_table(self)


def running(task: TaskContext, source: Reader) -> Run:
    """Return the run of the task that runs in this process, which needs no index to be found."""
    document = task.run
    record = RunRecord(
        document.flow,
        document.run,
        RunState.RUNNING,
        document.created_at,
        user=document.user,
        origin=document.origin,
        tags=document.tags,
        system_tags=document.system_tags,
        # Where the index is out of reach, this process is itself the sign of life.
        heartbeat_at=math.inf,
    )
    return Run._of(source, record)


def _tag_list(tags: Iterable[str]) -> list[str]:
    if isinstance(tags, str):
        raise UsageError(
            f"A list of tags is wanted, not the text '{tags}'", hint=f'add_tags(["{tags}"])'
        )
    return list(tags)


def _missing(source: Reader, flow: str, run: str) -> ObjectNotFound:
    from flow_core.api import index_lacks  # brings the start of runs with it, which readers lack

    if index_lacks(source.session.metadata, source.session.store, flow, run):
        from flow_client.flow import not_indexed

        return not_indexed(source, f"run '{flow}/{run}'")
    latest = [r.run for r in source.session.metadata.runs(flow, limit=_SHOWN)]
    if not latest:
        from flow_client.flow import missing as missing_flow

        return missing_flow(source, flow)
    return ObjectNotFound(
        f"There is no run '{flow}/{run}'",
        where=source.session.metadata.url,
        why="the index knows no such run of the flow",
        hint="latest runs: " + ", ".join(latest[:5]),
    )
