"""Resolving and building what was named, all at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flow_core.api import EnvironmentLock, ReadyEnvironment, Session
    from flow_envs.targets import Target


class Made(NamedTuple):
    """An environment that is ready.

    Attributes:
        lock: its lock.
        ready: where and what it is.
        names: of the steps that have it.
        built: whether it was built now; False = it was there.
    """

    lock: EnvironmentLock
    ready: ReadyEnvironment
    names: tuple[str, ...]
    built: bool


def resolve(session: Session, targets: Sequence[Target]) -> list[tuple[Target, EnvironmentLock]]:
    """Return each target with its lock; steps of today that have none yet are resolved.

    Raises:
        FlowError: one cannot be resolved.
        NotFound: the lock of what lies on this machine is not known.
    """
    steps = [target.step for target in targets if target.is_today]
    if steps:
        session.environments.resolve(steps)
    return [(target, _lock(session, target)) for target in targets]


def _lock(session: Session, target: Target) -> EnvironmentLock:
    lock = session.environments.lock(target.step) if target.is_today else target.lock
    if lock is None:
        raise NotFound(
            f"The lock of {target.name} is not known here",
            where=target.built.folder if target.built else None,
            why="its provider is not installed, or an older flow-core has built it",
            hint="name a step, or a run that has it: FLOW/RUN/STEP",
        )
    return lock


def make(session: Session, targets: Sequence[Target]) -> list[Made]:
    """Build the environments of all targets, as far as they are not there; return each once.

    Raises:
        FlowError: one cannot be resolved, or not be built.
    """
    environments = session.environments
    locks = resolve(session, targets)
    names: dict[EnvironmentLock, list[str]] = {}
    for target, lock in locks:
        if not target.is_today:
            environments.use(target.name, lock)
        names.setdefault(lock, []).append(target.name)
    missing = {lock for lock in names if environments.builder(lock.provider).find(lock) is None}
    environments.prepare([target.name for target, _ in locks])
    return [
        Made(lock, environments.ready(of[0]), tuple(of), lock in missing)
        for lock, of in names.items()
    ]
