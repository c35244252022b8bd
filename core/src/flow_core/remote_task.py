"""An attempt on another machine: ``python -m flow_core.task <url>``.

All that such a process is told is one specification in the store; everything else, the code of the flow
too, it reads from the store. It needs nothing else: no database, no service, no file of the launcher.

A *specification* is a JSON document. This module reads of it: ``format``, ``session`` (what
`Runtime.elsewhere` returned), ``settings`` (name → text: those that the launcher's machine has chosen),
``run_sha256`` (of the run's ``run.json``), ``task`` (a `TaskSpec`), ``folder`` (working directory, or none = that of the code) and ``variables``
(environment variables to set). What else is in it belongs to who starts
this process.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flow_core.errors import FlowError, IntegrityError, NotFound, UsageError
from flow_core.interfaces import Runtime, Store
from flow_core.launch import rebuild_runtime, tell_begin
from flow_core.package import read_code, write_code
from flow_core.records import (
    FORMAT,
    SPECIFICATION,
    RunDocument,
    TaskSpec,
    attempt_prefix,
    check_format,
    run_key,
)
from flow_core.session import Session
from flow_core.settings import Settings, set_variables, take_settings
from flow_core.task import cannot_begin

USAGE = "python -m flow_core.task STORE_URL#KEY [--given] [--begin DESCRIPTOR]"


def task_spec_key(task: TaskSpec) -> str:
    """Return the key of the specification of an attempt. Since 0.1."""
    return attempt_prefix(task.flow, task.run, task.step, task.task, task.attempt) + SPECIFICATION


def task_url(store: Store, task: TaskSpec) -> str:
    """Return what ``python -m flow_core.task`` is started with. Since 0.1."""
    return f"{store.url}#{task_spec_key(task)}"


def describe_task(
    runtime: Runtime,
    task: TaskSpec,
    *,
    folder: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the specification of an attempt, as JSON data to which others may add.

    Args:
        runtime: the session.
        task: the attempt.
        folder: its working directory; None = the folder into which its code is unpacked.
        variables: environment variables to set in its process.

    Since 0.1.
    """
    return {
        "format": FORMAT,
        "session": runtime.elsewhere,
        "settings": runtime.elsewhere_settings(),
        "task": task.to_json(),
        "folder": folder,
        "variables": dict(variables or {}),
    }


def open_task_store(url: str) -> Store:
    """Return the store of a task's URL, opened in this process.

    Raises:
        FlowError: the URL has another form, or the store cannot be opened.

    Since 0.1.
    """
    return open_task_session(url).store


def open_task_session(url: str) -> Session:
    """Return a session of no flow with the store of a task's URL: to build environments with.

    Raises:
        FlowError: as for `open_task_store`.

    Since 0.1.
    """
    return _open(url)[0]


def _open(url: str) -> tuple[Session, str]:
    """Return a session of no flow with the store of a task's URL, and the key."""
    store_url, mark, key = url.rpartition("#")
    if not mark or "://" not in store_url:
        raise UsageError(f"'{url}' names no task", why="it has no '#'", hint=USAGE)
    settings = Settings(warn=lambda *_: None)  # the launcher has told
    settings.override("datastore", store_url, "task URL")
    session = Session(None, settings=settings, interactive=False)
    if hasattr(session.store, "expect_answers"):  # the launcher, and the bootstrap, have used it
        session.store.expect_answers()
    return session, key


class TaskOrder:
    """A specification that was read: opens the store once, and runs the attempt.

    Args:
        url: ``<store url>#<key>``.
        text: the specification; None = it is read from the store.

    Raises:
        FlowError: the URL has another form, the store cannot be opened, or there is no such
            specification.

    Since 0.1.
    """

    def __init__(self, url: str, text: str | bytes | None = None) -> None:
        given = _parse(text, url) if text is not None else None
        take_settings((given or {}).get("settings", {}))
        self._opener, self.key = _open(url)
        self.spec = given if given is not None else _parse(self._read(), url)
        take_settings(self.spec["settings"])
        self.task = TaskSpec.from_json(self.spec["task"])

    @property
    def store(self) -> Store:
        """The store of the run."""
        return self._opener.store

    def _read(self) -> bytes:
        found = next(iter(self.store.read([self.key])))
        if found is None:
            raise NotFound(
                "There is no specification of this task",
                where=f"{self.store.url}#{self.key}",
                hint="its run may have been removed",
            )
        return found

    def runtime(self, folder: str) -> Runtime:
        """Return what runs the attempt; the code of its flow is unpacked into ``folder``."""
        document: dict[str, Any] = self.spec["session"]
        if "rebuild" in document:
            return rebuild_runtime(document)
        name = self.store.url.partition("://")[0]
        raw = next(iter(self.store.read([run_key(self.task.flow, self.task.run)])))
        if raw is None:
            raise NotFound(
                f"There is no run {self.task.flow}/{self.task.run}", where=self.store.url
            )
        check_run(raw, self.spec.get("run_sha256"), self.store.url)
        run = RunDocument.decode(raw, run_key(self.task.flow, self.task.run))
        self._fetch_code(run, folder)
        session = Session.from_document(
            {**document, **_places(run, folder)}, providers={("store", name): self.store}
        )
        session.unpacked_at = folder
        session.has_only_code = self.spec["folder"] is None
        session.adopt_run(raw)
        return session

    def _fetch_code(self, run: RunDocument, folder: str) -> None:
        if run.code is None:
            return
        what = f"the code of run {run.flow}/{run.run}"
        write_code(read_code(self._opener.artifacts.get_bytes(run.code, what), what), folder)

    def run_attempt(self, folder: str, begin: int | None = None) -> int:
        """Run the attempt in this process, and return its exit status.

        Args:
            folder: an empty one, for the code.
            begin: a descriptor to `tell_begin` by; None = nobody asks.
        """
        set_variables(self.spec["variables"])
        os.chdir(self.spec["folder"] or folder)
        try:
            runtime = self.runtime(folder)
        except FlowError as error:
            return cannot_begin(self.task, error)
        return runtime.run_attempt(self.task, None if begin is None else partial(tell_begin, begin))


def check_run(raw: bytes, sha256: str | None, where: str) -> None:
    """Refuse a ``run.json`` that is not the one the task was submitted for: it names the code.

    Raises:
        IntegrityError: its hash is another one.
    """
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise IntegrityError(
            "The run's document is not what it was when the task was submitted",
            where=where,
            why="somebody has changed run.json in the store: it names the code that is to run",
            hint="find out who may write there, and start the run again",
        )


def _parse(text: str | bytes, key: str) -> dict[str, Any]:
    try:
        spec: dict[str, Any] = json.loads(text)
        check_format(spec, "task specification", key)
    except (ValueError, TypeError, AttributeError):
        raise IntegrityError("The specification of a task is damaged", where=key) from None
    return spec


def _places(run: RunDocument, folder: str) -> dict[str, Any]:
    """Return where on this machine a session document finds the flow of a run."""
    parts = str(run.info.get("code_folder", "")).split("/")
    script = str(run.info.get("script", "")).split("/")
    code = os.path.normpath(os.path.join(folder, *parts))
    return {"file": os.path.join(folder, *script), "path": [code]}


def main(arguments: Sequence[str]) -> int:
    """Run the attempt that the arguments name; return its exit status."""
    url, given, begin = _read_arguments(arguments)
    try:
        order = TaskOrder(url, sys.stdin.buffer.read() if given else None)
    except FlowError as error:
        sys.stderr.write(f"The task {url} could not begin.\n{error}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="flow-code-", ignore_cleanup_errors=True) as folder:
        status = order.run_attempt(folder, begin)
        os.chdir(os.path.dirname(folder))  # some systems remove no folder that somebody is in
    return status


def _read_arguments(arguments: Sequence[str]) -> tuple[str, bool, int | None]:
    words = list(arguments)
    begin = None
    if "--begin" in words[1:-1]:
        at = words.index("--begin")
        begin = int(words[at + 1])
        del words[at : at + 2]
    if not words or words[0].startswith("-") or words[1:] not in ([], ["--given"]):
        sys.stderr.write(f"usage: {USAGE}\n")
        sys.exit(2)
    return words[0], len(words) > 1, begin


def run_as_program() -> None:
    """Be ``python -m flow_core.task``."""
    importlib.import_module("flow_core.pickling")  # what every attempt needs
    sys.exit(main(sys.argv[1:]))
