"""Hooks: sources go into the plan, their values into the task's process and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flow_core.api import UsageError, hookimpl
from flow_secrets.decorator import SecretsOptions, may_be_secret
from flow_secrets.source import source_text

if TYPE_CHECKING:
    from flow_core.api import (
        FlowDefinition,
        PlanDraft,
        Session,
        Settings,
        StepDefinition,
        TaskContext,
    )


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare the default provider and role."""
    from flow_secrets.fetching import declare

    declare(settings)


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Refuse values on the command line: it is recorded with the run, and in the shell's history."""
    added = [a for step in definition.steps.values() for a in step.attached if a.source == "--with"]
    for options in [a.options for a in added if isinstance(a.options, SecretsOptions)]:
        if any(may_be_secret(source) and source.get("options") for source in options.listed):
            raise UsageError(
                "--with secrets: a secret itself cannot stand on the command line",
                why="the command line is recorded with the run",
                hint="set a variable, and --with secrets:sources=env.NAME",
            )


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Say where the secrets come from, for deployers: nothing secret."""
    options = step.options("secrets")
    if isinstance(options, SecretsOptions):
        draft.secrets.extend(map(source_text, options.listed))


@hookimpl
def flow_run_draft(session: Session) -> None:
    """Refuse sources that no installed provider knows, before anything runs."""
    from flow_secrets.fetching import Fetcher

    for step in session.definition.steps.values():
        options = step.options("secrets")
        if isinstance(options, SecretsOptions):
            fetcher = Fetcher(session.settings, session.index, options.role)
            for source in options.listed:
                fetcher.parse(source)
                _warn_of_literals(session, source)


def _warn_of_literals(session: Session, source: Any) -> None:
    """Tell a person that a secret is stored after all: as a part of their code."""
    import time

    from flow_core.api import Message

    if not may_be_secret(source) or not os.path.isfile(session.graph.file):
        return
    with open(session.graph.file, encoding="utf-8", errors="replace") as file:
        code = file.read()
    values = (source.get("options") or {}).get("env_vars") or {}
    if any(str(value) in code for value in values.values() if value):
        name = os.path.basename(session.graph.file)
        text = f"A secret stands in {name} itself, of which a snapshot is stored with the run."
        session.emit(Message(text, "warning", time.time()))


# Around the time limit: to fetch them takes none of the step's time. Inside of `catch`, which may
# handle that they cannot be fetched.
@hookimpl(wrapper=True, before=["timeout"], after=["catch"])
def flow_task_call(task: TaskContext, flow: Any) -> Generator[None, Any, Any]:
    """Fetch the secrets, set the variables, and mask the output of the step."""
    options = task.options("secrets")
    if not isinstance(options, SecretsOptions) or task.spec.fallback:
        return (yield)
    with ExitStack() as stack:
        _provide(task, options, stack)
        return (yield)


def _provide(task: TaskContext, options: SecretsOptions, stack: ExitStack) -> None:
    from flow_secrets import masking

    variables = _fetch(task, options)
    texts = masking.forms(list(variables.values()))
    for name in [n for n, value in variables.items() if len(value) < masking.SHORTEST]:
        sys.stderr.write(
            f"The value of the secret '{name}' has fewer than {masking.SHORTEST} characters: "
            "it is not masked in the output\n"
        )
    if task.shares_process or not masking.can_mask_process():
        stack.enter_context(masking.masked_streams(texts))
    else:
        masking.mask_process(texts)
    if task.shares_process:
        stack.callback(_put_back, {name: os.environ.get(name) for name in variables})
    os.environ.update(variables)


def _fetch(task: TaskContext, options: SecretsOptions) -> dict[str, str]:
    from flow_secrets import masking
    from flow_secrets.fetching import Fetcher, fetch_all

    where = f"@secrets of step '{task.spec.step}'"
    session = task.session
    fetcher = Fetcher(session.settings, session.index, options.role, where)
    present = {} if options.allow_override else dict(os.environ)
    variables: dict[str, str] = {}
    for found in fetch_all(fetcher, options.listed, present, where):
        task.hide(masking.forms(list(found.values())))
        variables.update(found)
    return variables


def _put_back(earlier: dict[str, str | None]) -> None:
    for name, value in earlier.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
