"""``env list``: the environments of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_envs.wording import moment, plural, size, table

if TYPE_CHECKING:
    from flow_core.api import BuiltEnvironment, CommandContext, Session
    from flow_envs.disk import Machine

_HELP = """List the environments of this machine, the latest used first.

PACKAGES is how many it has. A file that several environments share counts for each of them, and once in
the total. A half-built one is never used: env clean removes it."""


class _Listed(NamedTuple):
    """An environment, with what must be looked for."""

    built: BuiltEnvironment
    size: int
    state: str
    steps: tuple[str, ...]


def list_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def list_(flow: str | None, as_json: bool) -> None:
        from flow_envs.disk import Usage, look
        from flow_envs.targets import opened

        with opened(context, [flow] if flow else []) as (session, _):
            machine = look(session.environments.root)
            usage = Usage()
            rows = _rows(session, machine, usage)
            caches = {name: usage.add(path) for name, path in machine.caches.items()}
        if as_json:
            context.echo(json.dumps(_data(machine, rows, caches, usage.total), indent=2))
            return
        for line in _text(machine, rows, caches, usage.total):
            context.echo(line)

    return click.Command(
        "list",
        callback=list_,
        params=[
            click.Argument(["flow"], required=False, metavar="[FILE]"),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def state_of(built: BuiltEnvironment) -> str:
    """Return ``ready``, ``in use``, ``being built`` or ``half built``."""
    if built.ready is None:
        return "being built" if built.is_used() else "half built"
    return "in use" if built.is_used() else "ready"


def _rows(session: Session, machine: Machine, usage: Any) -> list[_Listed]:
    steps = _steps_of_today(session)
    found = [
        _Listed(one, usage.add(one.folder), state_of(one), tuple(steps.get(one.key, ())))
        for one in machine.environments
    ]
    return sorted(found, key=lambda row: -row.built.used_at)


def _steps_of_today(session: Session) -> dict[str, list[str]]:
    """Return key of an environment → steps of today's flow that run in it."""
    from flow_envs.targets import steps_with_environments

    found: dict[str, list[str]] = {}
    for step in steps_with_environments(session) if session.flow is not None else ():
        lock = session.environments.known(step)
        if lock is not None:
            found.setdefault(lock.hash[:16], []).append(step)
    return found


def _text(
    machine: Machine, rows: list[_Listed], caches: dict[str, int], total: int
) -> Iterator[str]:
    cells = [
        (
            row.built.name,
            row.built.ready.python if row.built.ready else "",
            f"{len(row.built.ready.packages):,}" if row.built.ready else "",
            size(row.size),
            moment(row.built.used_at),
            row.state,
            ", ".join(row.steps),
        )
        for row in rows
    ]
    heads = ("ENVIRONMENT", "PYTHON", "PACKAGES", "SIZE", "LAST USED", "STATE", "STEPS")
    if rows:
        yield from table(heads, cells, "PACKAGES SIZE")
    half = sum(row.state == "half built" for row in rows)
    kept = [f"the downloads of {name} {size(count)}" for name, count in caches.items() if count]
    what = plural(len(rows), "environment") if rows else "No environments"
    yield f"{what} in {machine.root}" + (f": {size(total)} in all" if total else "")
    if kept:
        yield f"Of that are {', '.join(kept)}."
    if half:
        yield f"{half} half built, by programs that were killed: env clean removes them."


def _data(
    machine: Machine, rows: list[_Listed], caches: dict[str, int], total: int
) -> dict[str, Any]:
    return {
        "folder": machine.root,
        "environments": [_row_data(row) for row in rows],
        "caches": [
            {"provider": name, "path": machine.caches[name], "bytes": count}
            for name, count in caches.items()
        ],
        "bytes": total,
    }


def _row_data(row: _Listed) -> dict[str, Any]:
    ready = row.built.ready
    return {
        "provider": row.built.provider,
        "lock": ready.lock if ready else row.built.key,
        "state": row.state,
        "python": ready.python if ready else None,
        "implementation": ready.implementation if ready else None,
        "packages": len(ready.packages) if ready else None,
        "bytes": row.size,
        "made_at": ready.made_at if ready else None,
        "used_at": row.built.used_at,
        "path": row.built.folder,
        "steps": list(row.steps),
    }
