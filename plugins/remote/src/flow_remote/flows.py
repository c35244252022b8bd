"""Which step of which flow a command of a cluster means: ``flow CLUSTER COMMAND my_flow.py train``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flow_core.api import (
    CommandContext,
    NotFound,
    Session,
    UsageError,
    did_you_mean,
    load_flow,
)


@contextmanager
def open_flow(context: CommandContext, words: Sequence[str]) -> Iterator[tuple[Session, list[str]]]:
    """Yield the session to work with, and the words behind the flow's file that they may begin with.

    Since 0.1.
    """
    session: Session = context.session()
    if context.flow is None and words and words[0].endswith(".py"):
        with session.with_flow(load_flow(words[0])) as of_flow:
            yield of_flow, list(words[1:])
    else:
        yield session, list(words)


def named_step(session: Session, words: Sequence[str], otherwise: UsageError) -> str:
    """Return the step that is the only word.

    Args:
        session: of the flow, if one was named.
        words: behind the flow's file.
        otherwise: what is raised where no step is named.

    Raises:
        UsageError: see there.
        NotFound: the flow has no such step.

    Since 0.1.
    """
    if session.flow is None or len(words) != 1:
        raise otherwise
    if words[0] not in session.plans:
        raise NotFound(
            f"Flow '{session.flow_name}' has no step '{words[0]}'",
            where=session.graph.file,
            hint=did_you_mean(words[0], session.plans),
        )
    return words[0]
