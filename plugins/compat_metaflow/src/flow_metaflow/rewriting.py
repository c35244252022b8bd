"""What stands behind the command, in flow-core's form."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

from flow_core.api import Parameter
from flow_metaflow.environment import OWN, variables
from flow_metaflow.names import refuse_decorators

_VARIABLE = {
    "--max-num-splits": OWN + "MAX_NUM_SPLITS",
    "--namespace": OWN + "NAMESPACE",
    "--runner-attribute-file": OWN + "RUNNER_ATTRIBUTE_FILE",
}
"""Options of ``run`` and its like that are settings here: they hold in all tasks."""

_RUNS = frozenset({"run", "resume", "spin"})


def after_command(words: Sequence[str], for_run: Sequence[str], flow: Any) -> list[str]:
    """Return the command with its arguments.

    Args:
        words: the command and what stands behind it.
        for_run: options that the predecessor has in front of the command.
        flow: the flow class.
    """
    command, *rest = words
    if command in _RUNS:
        added = list(for_run) if command != "spin" else []
        refuse_decorators(_values(rest, "--with"), "--with")
        if command == "run":
            rest = [*_of_variables(rest), *rest]
        return [command, *added, *_renamed(_without_variables(rest), flow)]
    if command == "logs" and (not rest or rest[0] not in ("show", "scrub", "--help")):
        return [command, "show", *rest]  # `logs RUN/STEP` is short for it
    return [command, *rest]


def _of_variables(words: Sequence[str]) -> list[str]:
    """Return options of ``run`` that stand in variables, and not in ``words``."""
    given = variables()
    tags = given.get("RUN_TAG", "").split() if not _values(words, "--tag") else ()
    file = given.get("RUN_RUN_ID_FILE") if not _values(words, "--run-id-file") else None
    added = [word for tag in tags for word in ("--tag", tag)]
    return [*added, *(["--run-id-file", file] if file else [])]


def _values(words: Sequence[str], option: str) -> list[str]:
    """Return what is given for an option."""
    after = [value for word, value in itertools.pairwise(words) if word == option]
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    return after + joined


def _without_variables(words: Sequence[str]) -> list[str]:
    """Take options out that are variables here, and set these."""
    kept: list[str] = []
    waiting = iter(words)
    for word in waiting:
        option, equals, value = word.partition("=")
        if option in _VARIABLE:
            os.environ[_VARIABLE[option]] = value if equals else next(waiting, "")
        else:
            kept.append(word)
    return kept


def _renamed(words: Sequence[str], flow: Any) -> list[str]:
    """Give parameters the form of an option: ``--learning_rate`` is ``--learning-rate`` here."""
    declared = (getattr(flow, name, None) for name in dir(flow))
    options = {f"--{p.name}": p.option for p in declared if isinstance(p, Parameter)}
    found = []
    for word in words:
        option, equals, value = word.partition("=")
        found.append(options.get(option, option) + equals + value)
    return found
