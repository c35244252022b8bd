"""Runs a run once more, in a process of its own: ``python -m flow_reproduce.again ORDER``.

In this one other versions of the flow's modules may be loaded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from flow_core.api import (
    Command,
    CommandContext,
    Front,
    Manifest,
    Message,
    ReuseDraft,
    RunDocument,
    RunDraft,
    RunFailed,
    RunRequest,
    Session,
    TaskSpec,
    hookimpl,
    main,
)
from flow_reproduce.runs import FoundRun

_NAME = "reproduce"
_WIDTH = 40


class Order(NamedTuple):
    """What is to be run again.

    Attributes:
        run: pathspec of the run.
        file: the flow's file, in the folder with its code.
        path: the folder in which the flow's modules are found.
        options: of the command line, before the command.
        result: file that gets the id of the new run.
        max_workers: tasks at a time; None = the setting.
        arguments: the command line that the run records as its own.
    """

    run: str
    flow: str
    path: str
    options: list[str]
    result: str
    max_workers: int | None
    arguments: list[str]


class Done(NamedTuple):
    """How the process ended: its exit status, and the id of the run; None = it has not begun."""

    status: int
    run: str | None


def launch(
    session: Session, run: FoundRun, folder: str, max_workers: int | None, loud: bool
) -> Done:
    """Run a run again with the code that lies in ``folder``.

    Args:
        session: whose store, index and further choices count.
        run: what is run again.
        folder: where its code is.
        max_workers: tasks at a time; None = the setting.
        loud: whether what is shown goes to standard output; else to standard error.
    """
    info = run.document.info
    variables = {"PYTHONHASHSEED": info["hash_seed"]} if info.get("hash_seed") else {}
    session.close_index()
    with tempfile.TemporaryDirectory(prefix="flow-reproduce-") as scratch:
        order = Order(
            run.pathspec,
            _flow(run, folder),
            os.path.normpath(os.path.join(folder, *str(info.get("code_folder", "")).split("/"))),
            _options(session, run),
            os.path.join(scratch, "run"),
            max_workers,
            ["flow", _NAME, run.pathspec],
        )
        place = os.path.join(scratch, "order.json")
        with open(place, "w", encoding="utf-8") as file:
            json.dump(order._asdict(), file)
        sys.stdout.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "flow_reproduce.again", place],
            env={**session.settings.script_environment(), **variables},
            stdout=None if loud else sys.stderr.fileno(),
        )
        earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, earlier)
        return Done(status, _content(order.result))


def _flow(run: FoundRun, folder: str) -> str:
    info = run.document.info
    place = info.get("module") or os.path.join(folder, *str(info["script"]).split("/"))
    return f"{place}:{run.document.flow}"


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() or None
    except FileNotFoundError:
        return None


def _options(session: Session, run: FoundRun) -> list[str]:
    """Return what stands before the command: where things are, and what was chosen then; what is
    chosen for this command comes last, and counts."""
    info = run.document.info
    chosen = {**info.get("settings", {}), **session.settings.overrides()}
    chosen["datastore"] = session.store_text()
    chosen["metadata"] = session.metadata.url
    words = []
    for name in ("datastore", "metadata", "compute", "environment"):
        if name in chosen:
            words += [f"--{name}", str(chosen[name])]
    decorators, plugins = session.given
    for text in dict.fromkeys([*info.get("choices", ()), *plugins]):
        words += ["-p", text]
    for text in dict.fromkeys([*info.get("with", ()), *decorators]):
        words += ["--with", text]
    return words + (["--quiet"] if session.settings["quiet"] else [])


# --- the process --------------------------------------------------------------------------------


class Again:
    """A plugin object: nothing is taken from a cache, and what started the run counts as then.

    Args:
        session: the session of the new run.
        run: pathspec of the run that is run again.
    """

    def __init__(self, session: Session, run: str) -> None:
        self._document = session.run_document(*run.split("/"))
        self._run = run

    @hookimpl(wrapper=True)
    def flow_run_draft(self, draft: RunDraft) -> Any:
        """Take over what plugins noted then, such as the event that started the run."""
        result = yield
        for name, note in self._document.notes.items():
            draft.notes.setdefault(name, note)
        draft.notes["reproduces"] = self._run
        draft.system_tags.append(f"reproduces:{self._run}")
        return result

    @hookimpl
    def flow_reuse_task(self, task: TaskSpec, draft: ReuseDraft) -> Manifest | None:
        """Let each task run: what an earlier run has left proves nothing."""
        draft.refuse()
        return None


def _command(order: Order) -> Command:
    def build(context: CommandContext) -> click.Command:
        session: Session = context.session()
        flow, _, run = order.run.partition("/")
        if session.has_configs:
            session.use_configs_of(flow, run)

        def again() -> None:
            session.prepare_run()
            for text in _other_plans(session, session.run_document(flow, run)):
                session.emit(Message(f"{order.run}: {text}", "warning", time.time()))
            session.plugins.manager.register(Again(session, order.run), _NAME)
            request = RunRequest(
                repeats=order.run, run_id_file=order.result, max_workers=order.max_workers
            )
            try:
                session.execute(request)
            except RunFailed as failed:
                failed.hint = None  # how it goes on is told by who has started this
                raise

        return click.Command(_NAME, callback=again)

    return Command("Run a run again.", True, build)


def _other_plans(session: Session, document: RunDocument) -> Iterator[str]:
    """Yield what steps are asked to be today, and were not then: a setting may have changed."""
    for step, plan in session.plans.items():
        now = json.loads(json.dumps(plan.to_json()))
        then = document.plans.get(step, {})
        names = [n for n in now if now[n] != then.get(n, now[n])]
        if names:
            changes = [f"{n} {_short(then[n])} → {_short(now[n])}" for n in names]
            yield f"step '{step}' had another plan: {', '.join(changes)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        order = Order(**json.load(file))
    sys.argv = order.arguments
    # The current folder is on the path of "python -m", where other versions of modules may lie.
    sys.path[0] = order.path
    sys.path.append(os.getcwd())  # else it would come first where a flow is a module
    front = Front(commands={_NAME: _command(order)})
    main([*order.options, _NAME, order.flow], front=front)


if __name__ == "__main__":
    _main()
