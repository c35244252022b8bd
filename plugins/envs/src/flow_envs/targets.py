"""What a person names: steps of today's flow, runs and their steps, locks of this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    LOCAL,
    CommandContext,
    EnvironmentLock,
    NotFound,
    PluginError,
    UsageError,
    built_environments,
    command_line,
    did_you_mean,
    load_flow,
    near_misses,
    read_lock,
    unknown_run,
)

if TYPE_CHECKING:
    from flow_core.api import BuiltEnvironment, RunDocument, Session

_HEX = re.compile(r"(?:(?P<provider>[A-Za-z][\w-]*)[ :])?(?P<digits>[0-9a-f]{4,64})")


class Target(NamedTuple):
    """An environment that was named.

    Attributes:
        name: how people call what has it: ``train``, ``MoviesFlow/3/train``, ``venv 1a2b3c4d``.
        step: the step, of today's flow or of the run; ``''`` = it was named by itself.
        document: the run; None = today's flow, or none.
        lock: its lock; None = the step was not resolved yet, or the provider is not installed.
        built: it was named by what lies on this machine.
    """

    name: str
    step: str = ""
    document: RunDocument | None = None
    lock: EnvironmentLock | None = None
    built: BuiltEnvironment | None = None

    @property
    def is_today(self) -> bool:
        """Whether it is of today's flow."""
        return bool(self.step) and self.document is None


@contextmanager
def opened(context: CommandContext, words: Sequence[str]) -> Iterator[tuple[Session, list[str]]]:
    """Yield the session to work with, and the words behind the flow file that they may begin with."""
    session: Session = context.session()
    if context.flow is None and words and words[0].endswith(".py"):
        with session.with_flow(load_flow(words[0])) as of_flow:
            yield of_flow, list(words[1:])
    else:
        yield session, list(words)


def steps_with_environments(session: Session) -> list[str]:
    """Return the steps of today's flow that run in an environment, in the order of the flow."""
    return [step for step, plan in session.plans.items() if plan.environment is not None]


def targets(session: Session, words: Sequence[str]) -> list[Target]:
    """Return all that ``words`` name, each once; without words, all steps of today's flow.

    Raises:
        UsageError: nothing is named, or something has no form of a name.
        NotFound: there is no such thing, or it has no environment.
    """
    if not words:
        return _all_of_today(session)
    found = [target for word in words for target in targets_of(session, word)]
    return list({target.name: target for target in found}.values())


def target(session: Session, word: str) -> Target:
    """Return the one environment that ``word`` names.

    Raises:
        UsageError: it names several.
        NotFound: see `targets`.
    """
    found = targets_of(session, word)
    if len(found) > 1:
        names = [one.step or one.name for one in found]
        raise UsageError(
            f"'{word}' has several environments",
            why="of the steps " + ", ".join(names),
            hint=f"{word.rstrip('/')}/{names[0]}",
        )
    return found[0]


def _all_of_today(session: Session) -> list[Target]:
    if session.flow is None:
        raise UsageError(
            "Which environments?",
            why="no flow is given, and no run",
            hint="flow env … my_flow.py, flow env … MyFlow/3, or a lock of: flow env list",
        )
    found = [today(session, step) for step in steps_with_environments(session)]
    if not found:
        raise NotFound(
            f"No step of {session.flow_name} has an environment",
            where=session.graph.file,
            why=_why_local(session) or "all of them run in the Python of the launcher",
            hint="decorators that give one: "
            + ", ".join(f"@{name}" for name in _decorators(session)),
        )
    return found


def _decorators(session: Session) -> list[str]:
    """Return the names of providers here that are also those of decorators."""
    names = {*session.index.names("flow.environments")}
    return sorted(names & {*session.index.names("flow.decorators")}) or sorted(names) or ["venv"]


def _why_local(session: Session) -> str:
    local = session.settings["environment"] == LOCAL
    return "the setting 'environment' is 'local'" if local else ""


def today(session: Session, step: str) -> Target:
    """Return the environment of a step of today's flow, as far as it is known without resolving."""
    return Target(step, step, lock=session.environments.known(step))


def targets_of(session: Session, word: str) -> list[Target]:
    """Return what one word names: see `targets`."""
    if session.flow is not None and word in session.plans:
        return [_step_of_today(session, word)]
    if word.endswith(".json"):
        return [_of_file(word)]
    parts = word.strip("/").split("/")
    if session.flow is not None and (parts[0].isdigit() and len(parts) <= 3):
        if len(parts) > 1 or session.metadata.run(session.flow_name, parts[0]) is not None:
            return _of_run(session, [session.flow_name, *parts])
    elif len(parts) > 1:
        return _of_run(session, parts)
    matched = _HEX.fullmatch(word)
    built = built_environments(session.environments.root)
    if matched:
        fitting = _fitting(built, matched["provider"], matched["digits"])
        if len(fitting) == 1:
            return [_of_machine(session, fitting[0])]
        if fitting:
            raise UsageError(
                f"'{word}' stands for several environments",
                why=", ".join(one.name for one in fitting),
                hint=f"give more digits: {fitting[0].key}",
            )
    raise _unknown(session, word, built)


def _fitting(
    built: list[BuiltEnvironment], provider: str | None, digits: str
) -> list[BuiltEnvironment]:
    return [
        one
        for one in built
        if (one.key.startswith(digits) or digits.startswith(one.key))
        and provider in (None, one.provider)
        and (one.ready is None or len(digits) < 16 or one.ready.lock.startswith(digits))
    ]


def _step_of_today(session: Session, step: str) -> Target:
    if session.plans[step].environment is None:
        others = steps_with_environments(session)
        raise NotFound(
            f"Step '{step}' has no environment",
            where=session.graph.file,
            why=_why_local(session) or "it runs in the Python of the launcher",
            hint=f"steps that have one: {', '.join(others)}"
            if others
            else "decorators that give one: "
            + ", ".join(f"@{name}" for name in _decorators(session)),
        )
    return today(session, step)


def _of_run(session: Session, parts: Sequence[str]) -> list[Target]:
    """Return the environments of a run, or of one of its steps: Flow/run[/step[/task]]."""
    word = "/".join(parts)
    if len(parts) > 4 or not all(parts):
        raise UsageError(
            f"'{word}' names no run, and no step of one",
            why="a run is Flow/run, a step of it Flow/run/step",
            hint="MyFlow/3/train",
        )
    flow, run = parts[:2]
    if session.metadata.run(flow, run) is None:
        raise unknown_run(session, flow, run)
    document = session.run_document(flow, run)
    if len(parts) > 2:
        return [_step_of_run(session, document, parts[2])]
    found = [_of_document(session, document, step) for step in document.environments]
    if not found:
        raise NotFound(
            f"Run {flow}/{run} has no environments",
            why="all of its steps ran in the Python of the launcher",
            hint="runs and their steps: " + command_line(session, "runs"),
        )
    return found


def _step_of_run(session: Session, document: RunDocument, step: str) -> Target:
    if step in document.environments:
        return _of_document(session, document, step)
    place = f"{document.flow}/{document.run}"
    if step not in document.plans:
        raise NotFound(
            f"Run {place} has no step '{step}'",
            hint=did_you_mean(step, document.environments or document.plans),
        )
    others = ", ".join(sorted(document.environments))
    raise NotFound(
        f"Step '{step}' of run {place} had no environment",
        why="it ran in the Python of the launcher",
        hint=f"steps that had one: {others}" if others else "no step of this run had one",
    )


def _of_document(session: Session, document: RunDocument, step: str) -> Target:
    name = f"{document.flow}/{document.run}/{step}"
    return Target(name, step, document, read_lock(session, document, step))


def _of_machine(session: Session, built: BuiltEnvironment) -> Target:
    return Target(built.name, lock=_lock_of(session, built), built=built)


def _lock_of(session: Session, built: BuiltEnvironment) -> EnvironmentLock | None:
    """Return the lock of what lies here; None where its provider is not installed any more."""
    try:
        return session.environments.builder(built.provider).kept(built.key)
    except PluginError:
        return None


def _of_file(path: str) -> Target:
    """Return the lock in a file that ``env lock`` wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        lock = EnvironmentLock.of(data["provider"], data["lock"])
    except OSError as error:
        raise NotFound(
            f"The file '{path}' cannot be read",
            why=error.strerror,
            hint="env lock --write FOLDER writes such files",
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"The file '{path}' is no lock",
            why=f"{type(error).__name__}: {error}",
            hint="env lock -o FILE.json writes such files",
        ) from None
    return Target(path, lock=lock)


def _unknown(session: Session, word: str, built: list[BuiltEnvironment]) -> NotFound:
    """Say what ``word`` might have been."""
    if session.flow is not None:
        steps = steps_with_environments(session)
        near = near_misses(word, steps)
        return NotFound(
            f"There is no step '{word}' in {session.flow_name}, and no such run or lock",
            where=session.graph.file,
            hint="did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
            if near
            else f"steps with environments: {', '.join(steps)}"
            if steps
            else "env list shows the locks of this machine",
        )
    latest = session.metadata.runs(word, limit=1)
    if latest:
        return NotFound(
            f"'{word}' is a flow",
            why="environments are those of a run, or of a step of it",
            hint=f"its latest run: {latest[0].pathspec}",
        )
    near = near_misses(word, [*session.metadata.flows(), *(one.key[:8] for one in built)])
    return NotFound(
        f"There is no environment '{word}'",
        where=session.environments.root,
        why="it is none of the locks of this machine; a run is Flow/run, and steps are those of a "
        "flow file: my_flow.py STEP",
        hint="did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
        if near
        else "flow env list",
    )
