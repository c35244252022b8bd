"""Hooks: ``current.card`` in tasks; in the launcher, have cards made of what has ended."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flow_cards.contract import GROUP
from flow_cards.current import Cards  # once, before tasks are forked
from flow_cards.decorator import in_order
from flow_cards.storage import run_cards, write_added
from flow_core.api import DefinitionError, Message, RunState, did_you_mean, hookimpl

if TYPE_CHECKING:
    from flow_cards.link import Maker
    from flow_core.api import (
        FlowDefinition,
        Manifest,
        RunRecord,
        RunResult,
        Session,
        Settings,
        TaskContext,
        TaskSpec,
    )

_PATIENCE_INTERRUPTED = 5.0


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare settings."""
    settings.declare("cards_wait", 60.0, "Seconds that a run waits for its cards at its end.")
    settings.declare(
        "cards_workers", 0, "Cards made at a time; 0 = as many as processors, up to 4."
    )
    settings.declare(
        "cards_of_runs", True, "Whether a run whose tasks leave cards leaves one of its own, too."
    )
    settings.declare("cards_warnings", True, "Whether current.card says what it cannot do.")


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Find ids that two cards of one step have."""
    for name, step in definition.steps.items():
        cards = in_order(step.all_options("card"))
        for identity, count in Counter(c.id for c in cards if c.id).items():
            if count > 1:
                code = step.function.__code__
                definition.errors.append(
                    DefinitionError(
                        f"Step '{name}' has {count} cards with the id '{identity}'",
                        where=f"{code.co_filename}:{code.co_firstlineno}",
                        why="current.card and the command could not tell them apart",
                        hint=f"@card(id='{identity}_2')",
                    )
                )


# --- in the task --------------------------------------------------------------------------------


@hookimpl
def flow_task_setup(task: TaskContext) -> None:
    """Provide ``current.card``."""
    options = in_order(task.all_options("card"))
    if options and not task.spec.fallback:
        place = (*task.spec[:4], task.spec.attempt)
        write = functools.partial(write_added, task.session.store, place)
        facts = {
            "started": time.time(),
            "host": os.uname().nodename if hasattr(os, "uname") else "",
            "foreach": [[frame.step, frame.index, frame.count] for frame in task.spec.foreach],
        }
        cards = Cards(options, write, task.session.settings["cards_warnings"], facts)
        task.current.provide("card", lambda: cards)


@hookimpl
def flow_task_teardown(task: TaskContext) -> None:
    """Store what the step has added to its cards."""
    cards = task.current.get("card")
    if isinstance(cards, Cards):
        cards.finish()


# --- in the launcher ----------------------------------------------------------------------------


class _Run:
    """The cards of the run of a session: made by a process that starts with the first of them.

    Attributes:
        maker: None = no task with a card has started.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.steps = {
            name for name, step in session.definition.steps.items() if step.options("card")
        }
        self.maker: Maker | None = None


class _Launcher:
    """The runs that this process launches, innermost last: a task in it may run another flow."""

    def __init__(self) -> None:
        self.runs: list[tuple[tuple[str, str], _Run]] = []

    def of(self, task: TaskSpec) -> _Run | None:
        for place, run in reversed(self.runs):
            if place == (task.flow, task.run):
                return run if task.step in run.steps else None
        return None


_launcher = _Launcher()


@hookimpl
def flow_run_started(session: Session, run: RunRecord) -> None:
    """Remember the run; say which types of cards there are not."""
    _launcher.runs.append(((run.flow, run.run), _Run(session)))
    for text in _unknown_types(session):
        session.emit(Message(text, "warning", time.time()))


def _unknown_types(session: Session) -> Iterator[str]:
    known = session.index.names(GROUP)
    for name, step in session.definition.steps.items():
        for options in in_order(step.all_options("card")):
            if options.type not in known:
                hint = did_you_mean(options.type, known)
                yield f"Step '{name}': no plugin offers the card type '{options.type}'" + (
                    f" ({hint})" if hint else ""
                )


@hookimpl
def flow_task_launched(task: TaskSpec) -> None:
    """Start the process that makes cards, beside the first task that will leave one."""
    run = _launcher.of(task)
    if run is not None and run.maker is None:
        from flow_cards.link import make_maker

        run.maker = make_maker(run.session)


@hookimpl
def flow_task_finished(task: TaskSpec, manifest: Manifest) -> None:
    """Have the cards of an attempt made."""
    run = _launcher.of(task)
    if run is not None and run.maker is not None and manifest.origin is None:
        run.maker.ended((task.flow, task.run, task.step, task.task, task.attempt))


@hookimpl(budget=None)
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """Wait for the cards of the run, with one of the run itself; say where that lies."""
    place = (run.flow, run.run)
    found = next((one for known, one in reversed(_launcher.runs) if known == place), None)
    _launcher.runs[:] = [one for one in _launcher.runs if one[0] != place]
    if found is None:
        return
    whole = bool(session.settings["cards_of_runs"])
    if found.maker is None and found.steps and run.origin and whole:
        from flow_cards.link import make_maker

        found.maker = make_maker(session)  # the tasks with cards were reused: the run has cards
    if found.maker is None:
        return
    patience = float(session.settings["cards_wait"])
    if result.state is RunState.INTERRUPTED:
        patience = min(patience, _PATIENCE_INTERRUPTED)
    if whole:
        found.maker.of_run(run.flow, run.run)
    for problem in found.maker.finish(patience):
        session.emit(Message(problem, "warning", time.time()))
    if whole and (place_of_card := _where(session, run)):
        session.emit(Message(f"Card of the run: {place_of_card}", "info", time.time()))


def _where(session: Session, run: RunRecord) -> str:
    """Return the file of the card of a run, or what shows it; ``""`` when it was not made."""
    made = run_cards(session.store, run.flow, run.run)
    if not made:
        return ""
    if path := session.store.local_path(made[0].key):
        return path
    # Without the store that was chosen for this run, another one would be asked.
    chosen = session.settings.overrides().get("datastore")
    return f"flow {f'--datastore {chosen} ' if chosen else ''}card view {run.pathspec}"
