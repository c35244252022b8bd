"""``env clean``: free what environments take on this machine."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import NoEnvironment, NotFound, UsageError, remove_environment, seconds_of
from flow_envs.wording import moment, plural, size, table

if TYPE_CHECKING:
    from flow_core.api import BuiltEnvironment, CommandContext, Session
    from flow_envs.disk import Machine

_HELP = """Remove environments of this machine, and say how much that frees. Never one that a run uses now, or
that is being built. What goes is built again when it is needed.

Without options, what was left half built goes, and nothing else. TARGET is a lock of this machine, a step of
today's flow, or FLOW/RUN/STEP: only these go. With both --older-than and --unused, what goes is old and
unused."""


_RUBBISH = "rubbish"
_LINKS = "links to flow-core"


class _Going(NamedTuple):
    """What goes: environments, and files and folders beside them, with the word for these."""

    environments: list[BuiltEnvironment]
    others: list[tuple[str, str]]


class _Result(NamedTuple):
    """What has gone, or would go."""

    environments: list[BuiltEnvironment]
    others: list[tuple[str, str]]
    busy: list[BuiltEnvironment]
    kept: list[tuple[str, str]]
    sizes: dict[str, int]
    total: int
    freed: int


def clean_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def clean(words: tuple[str, ...], dry_run: bool, as_json: bool, **chosen: Any) -> None:
        from flow_envs.disk import look
        from flow_envs.targets import opened

        with opened(context, words) as (session, names):
            _check(names, chosen)
            machine = look(session.environments.root)
            going = _choose(session, machine, names, chosen)
            result = _carry_out(machine, going, dry_run)
        if as_json:
            context.echo(json.dumps(_data(result, dry_run), indent=2))
            return
        for line in _text(result, dry_run):
            context.echo(line)

    return click.Command(
        "clean",
        callback=clean,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] [TARGET]..."),
            click.Option(
                ["--older-than"],
                metavar="TIME",
                help="What was not used for so long: 30d, 12h, 2w.",
            ),
            click.Option(
                ["--unused"], is_flag=True, help="What no run of the datastore has in its locks."
            ),
            click.Option(["--caches"], is_flag=True, help="The downloads of providers, too."),
            click.Option(
                ["--all", "everything"], is_flag=True, help="All environments, and the downloads."
            ),
            click.Option(["--dry-run"], is_flag=True, help="Only show what would go."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _check(names: Sequence[str], chosen: dict[str, Any]) -> None:
    filters = [
        option
        for option, given in (
            ("--all", chosen["everything"]),
            ("--older-than", chosen["older_than"]),
            ("--unused", chosen["unused"]),
        )
        if given
    ]
    clash = [*names[:1], *filters] if names else filters if chosen["everything"] else []
    if len(clash) > 1:
        raise UsageError(
            f"{clash[0]} and {clash[1]} exclude each other",
            why="either what is named goes, or all, or what is old or unused",
            hint="leave one of them out",
        )


# --- what goes ----------------------------------------------------------------------------------


def _choose(
    session: Session, machine: Machine, names: Sequence[str], chosen: dict[str, Any]
) -> _Going:
    others = [(path, _RUBBISH) for path in machine.rubbish]
    caches = [(path, f"downloads of {name}") for name, path in sorted(machine.caches.items())]
    half = [one for one in machine.environments if one.ready is None]
    if chosen["everything"]:
        links = os.path.join(machine.root, ".runtime")
        runtimes = [(links, _LINKS)] if os.path.isdir(links) else []
        return _Going(machine.environments, [*others, *caches, *runtimes])
    more = caches if chosen["caches"] else []
    if names:
        return _Going(_named(session, machine, names), more)
    filtered = chosen["older_than"] is not None or chosen["unused"]
    found = _filtered(session, machine, chosen) if filtered else []
    return _Going([*half, *found], [*others, *more])


def _filtered(session: Session, machine: Machine, chosen: dict[str, Any]) -> list[BuiltEnvironment]:
    found = [one for one in machine.environments if one.ready is not None]
    if chosen["older_than"] is not None:
        bound = time.time() - _seconds(chosen["older_than"])
        found = [one for one in found if one.used_at <= bound]
    if chosen["unused"]:
        known = _keys_of_runs(session)
        found = [one for one in found if one.key not in known]
    return found


def _seconds(text: str) -> float:
    if text == "0":
        return 0.0
    try:
        return seconds_of(text)
    except UsageError as error:
        raise UsageError(error.what, where="--older-than", why=error.why, hint=error.hint) from None


def _keys_of_runs(session: Session) -> set[str]:
    """Return the keys of all environments that runs of the datastore have in their locks."""
    from flow_core.api import RunQuery, find_runs
    from flow_envs.targets import steps_with_environments

    found: set[str] = set()
    for flow in session.metadata.flows():
        for record in find_runs(session.metadata, flow, RunQuery()):
            with suppress(NotFound):  # a run that goes just now
                document = session.run_document(record.flow, record.run)
                found.update(one["lock"][:16] for one in document.environments.values())
    if session.flow is not None:
        locks = map(session.environments.known, steps_with_environments(session))
        found.update(lock.hash[:16] for lock in locks if lock is not None)
    return found


def _named(session: Session, machine: Machine, names: Sequence[str]) -> list[BuiltEnvironment]:
    from flow_envs.targets import targets

    found = {}
    for target in targets(session, names):
        key = target.built.key if target.built else target.lock.hash[:16] if target.lock else ""
        here = [one for one in machine.environments if one.key == key]
        if not here:
            raise NotFound(
                f"The environment of {target.name} is not on this machine",
                where=machine.root,
                hint="flow env list shows those that are",
            )
        found[here[0].folder] = here[0]
    return list(found.values())


# --- doing it -----------------------------------------------------------------------------------


def _carry_out(machine: Machine, going: _Going, dry_run: bool) -> _Result:
    """Remove what goes, unless it is in use; count what that frees."""
    from flow_envs.disk import Usage

    usage, sizes = Usage(), {}
    gone: list[BuiltEnvironment] = []
    busy: list[BuiltEnvironment] = []
    for one in going.environments:
        looked = Usage()
        sizes[one.folder] = looked.add(one.folder)
        if one.is_used() if dry_run else not _removed(machine, one):
            busy.append(one)
        else:
            gone.append(one)
            usage.join(looked)
    others = [pair for pair in going.others if not _is_needed(machine, *pair)]
    for path, _ in others:
        sizes[path] = usage.add(path)
        if not dry_run:
            _remove(path)
    kept = [pair for pair in going.others if pair not in others]
    return _Result(gone, others, busy, kept, sizes, usage.total, usage.freed)


def _removed(machine: Machine, one: BuiltEnvironment) -> bool:
    """Remove an environment; say whether nobody used it."""
    try:
        remove_environment(machine.root, one.provider, one.key)
    except NoEnvironment:
        return False
    return True


def _is_needed(machine: Machine, path: str, what: str) -> bool:
    """Whether somebody needs what lies beside the environments now: who builds one, its downloads;
    who runs tasks in one, the links to flow-core."""
    from flow_envs.disk import is_building

    if what == _LINKS:
        return any(one.is_used() for one in machine.environments if os.path.isdir(one.folder))
    return what != _RUBBISH and is_building(os.path.dirname(path))


def _remove(path: str) -> None:
    """Remove a file or a folder; a folder first gets another name, so that nobody finds half of it."""
    if not os.path.isdir(path) or os.path.islink(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    aside = f"{path}.{os.getpid()}.gone"
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        shutil.rmtree(aside)


# --- what is printed ----------------------------------------------------------------------------


def _text(result: _Result, dry_run: bool) -> Iterator[str]:
    rows = [
        (
            one.name,
            one.ready.python if one.ready else "",
            size(result.sizes[one.folder]),
            moment(one.used_at),
            "" if one.ready else "half built",
        )
        for one in result.environments
    ]
    rows += [(what, "", size(result.sizes[path]), "", "") for path, what in result.others]
    if rows:
        yield from table(("WHAT", "PYTHON", "SIZE", "LAST USED", "STATE"), rows, "SIZE")
    for one in result.busy:
        yield f"{one.name} stays: a run uses it, or somebody builds it."
    for _, what in result.kept:
        yield f"The {what} stay: somebody needs them now."
    count = plural(len(result.environments), "environment") if result.environments else "This"
    if not rows:
        yield "Nothing goes." if dry_run else "Nothing was removed."
    elif dry_run:
        yield f"{count} would go: {size(result.freed)}{_shared(result)}."
    else:
        removed = f"Removed {count}" if result.environments else "Removed"
        yield f"{removed}: {size(result.freed)} are free{_shared(result)}."


def _shared(result: _Result) -> str:
    """Say why less is freed than what goes takes."""
    shared = result.freed < 0.95 * result.total
    return "; the rest is shared with what stays" if shared else ""


def _data(result: _Result, dry_run: bool) -> dict[str, Any]:
    return {
        "removed": not dry_run,
        "environments": [
            {
                "provider": one.provider,
                "lock": one.ready.lock if one.ready else one.key,
                "half_built": one.ready is None,
                "bytes": result.sizes[one.folder],
                "used_at": one.used_at,
                "path": one.folder,
            }
            for one in result.environments
        ],
        "others": [
            {"what": what, "path": path, "bytes": result.sizes[path]}
            for path, what in result.others
        ],
        "in_use": [one.name for one in result.busy],
        "bytes": result.freed,
    }
