"""``env lock``: resolve what steps ask for, say what has changed, write it down for other tools."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import UsageError
from flow_envs.wording import packages_table, plural

if TYPE_CHECKING:
    from flow_core.api import CommandContext, EnvironmentLock, Session
    from flow_envs.packages import Change, Package
    from flow_envs.targets import Target

_HELP = """Resolve what steps ask for, and show the locks: which packages they get, and what of that has
changed since their last run.

A step that asks for the same as before has the same lock, until --upgrade takes what is newest now. What is
resolved here is what the next run has. --write makes files that other tools take, pylock.toml or
conda-lock.yml, as far as the provider of the environment has such a form, else the lock as JSON.

TARGET is a step of today's flow, or FLOW/RUN/STEP; without one, all steps."""

_RUNS = 20  # so many of the latest runs are looked through for one with environments


class _Locked(NamedTuple):
    """A lock, and the names of what has it."""

    lock: EnvironmentLock
    names: list[str]
    packages: list[Package]
    run: str  # the last run in which the first of them had an environment; '' = none
    before: EnvironmentLock | None
    changes: list[Change]


def lock_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def lock(
        words: tuple[str, ...], upgrade: bool, folder: str | None, file: str | None, as_json: bool
    ) -> None:
        from flow_envs.making import resolve
        from flow_envs.targets import opened, targets

        if folder is not None and file is not None:
            raise UsageError("--write and -o exclude each other", hint="leave one of them out")
        with opened(context, words) as (session, names):
            if upgrade:
                session.settings.override("relock", True, "--upgrade")
            found = targets(session, names)
            if not as_json:
                session.start()  # so that somebody tells how it goes
            locked = _locked(session, resolve(session, found))
            files = _files(session, locked, folder, file, named=len(found) == 1 and bool(names))
        if as_json:
            context.echo(json.dumps([_data(one, files) for one in locked], indent=2))
            return
        for line in _text(locked, files):
            context.echo(line)

    return click.Command(
        "lock",
        callback=lock,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] [TARGET]..."),
            click.Option(
                ["--upgrade"], is_flag=True, help="Resolve anew: the newest that fits now."
            ),
            click.Option(
                ["--write", "folder"],
                type=click.Path(file_okay=False),
                metavar="FOLDER",
                help="Write the locks as files of other tools into FOLDER.",
            ),
            click.Option(
                ["-o", "--output", "file"],
                type=click.Path(dir_okay=False),
                metavar="FILE",
                help="Write the one lock to FILE; as the provider's own JSON, if it ends in .json.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


# --- what changed -------------------------------------------------------------------------------


def _locked(session: Session, resolved: Sequence[tuple[Target, EnvironmentLock]]) -> list[_Locked]:
    from flow_envs.packages import changes, packages_of

    names: dict[EnvironmentLock, list[Target]] = {}
    for target, lock in resolved:
        names.setdefault(lock, []).append(target)
    found = []
    for lock, targets in names.items():
        packages = packages_of(lock)
        run, before = _before(session, targets[0]) if targets[0].is_today else ("", None)
        differ = before is not None and before.hash != lock.hash
        changed = changes(packages_of(before), packages) if differ else []
        found.append(_Locked(lock, [t.name for t in targets], packages, run, before, changed))
    return found


def _before(session: Session, target: Target) -> tuple[str, EnvironmentLock | None]:
    """Return the latest run in which a step had an environment, and its lock there."""
    from flow_core.api import read_lock

    for record in session.metadata.runs(session.flow_name, limit=_RUNS):
        document = session.run_document(record.flow, record.run)
        if target.step in document.environments:
            return record.pathspec, read_lock(session, document, target.step)
    return "", None


# --- files --------------------------------------------------------------------------------------


def _files(
    session: Session, locked: list[_Locked], folder: str | None, file: str | None, *, named: bool
) -> dict[str, list[str]]:
    """Write the locks where that is wanted; return hash of a lock → paths."""
    if file is not None:
        if len(locked) != 1:
            steps = ", ".join(one.names[0] for one in locked)
            raise UsageError(
                f"{len(locked)} locks do not go into one file",
                where=f"-o {file}",
                why=f"of the steps {steps}",
                hint="name one of the steps, or write all: --write FOLDER",
            )
        texts = _texts(session, locked[0].lock, as_json=file.endswith(".json"))
        _write(file, next(iter(texts.values())))
        return {locked[0].lock.hash: [file]}
    if folder is None:
        return {}
    found: dict[str, list[str]] = {}
    for one in locked:
        for name, text in _texts(session, one.lock).items():
            for path in [name] if named else [_of_step(name, of) for of in one.names]:
                _write(os.path.join(folder, path), text)
                found.setdefault(one.lock.hash, []).append(os.path.join(folder, path))
    return found


def _texts(session: Session, lock: EnvironmentLock, as_json: bool = False) -> Mapping[str, str]:
    """Return a lock as files: in the form of other tools, if its provider has one."""
    exports = session.environment(lock.provider)[0].capabilities.exports
    if exports and not as_json:
        return session.environments.builder(lock.provider).export(lock)
    data = {"provider": lock.provider, "lock": lock.data}
    return {f"{lock.provider}-lock.json": json.dumps(data, indent=2, sort_keys=True) + "\n"}


def _of_step(name: str, step: str) -> str:
    """Return ``pylock.train.toml`` for ``pylock.toml``: so the standard calls one of several."""
    stem, dot, suffix = name.rpartition(".")
    step = step.replace("/", "-")
    return f"{stem}.{step}.{suffix}" if dot else f"{name}.{step}"


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(
            "The lock cannot be written",
            where=path,
            why=error.strerror,
            hint="choose another place",
        ) from None


# --- what is printed ----------------------------------------------------------------------------


def _text(locked: list[_Locked], files: Mapping[str, list[str]]) -> Iterator[str]:
    few = len(locked) == 1
    for number, one in enumerate(locked):
        if few:
            yield from packages_table(one.packages) if one.packages else ()
            yield ""
        elif number:
            yield ""
        head = f"{one.lock.name} of {', '.join(one.names)}"
        count = (
            plural(len(one.packages), "package") if one.packages else "nothing known of packages"
        )
        yield f"{click.style(head, bold=True)}: {count}{_since(one)}"
        for change in one.changes:
            colour = "green" if not change.old else "red" if not change.new else "yellow"
            yield click.style(f"  {change.text}", fg=colour)
        for path in files.get(one.lock.hash, ()):
            yield f"  written to {path}"


def _since(one: _Locked) -> str:
    if one.before is None:
        return ""
    if one.before.hash == one.lock.hash:
        return f", as in {one.run}"
    if one.before.provider != one.lock.provider:
        return f"; in {one.run} it was {one.before.name}"
    what = f"{len(one.changes)} changed" if one.changes else "another lock"
    return f", {what} since {one.run} ({one.before.name})"


def _data(one: _Locked, files: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "provider": one.lock.provider,
        "lock": one.lock.hash,
        "steps": one.names,
        "packages": [
            {"name": p.name, "version": p.version, "from": p.source or None} for p in one.packages
        ],
        "before": {"run": one.run, "lock": one.before.hash} if one.before is not None else None,
        "changes": [
            {"name": c.name, "old": c.old or None, "new": c.new or None} for c in one.changes
        ],
        "files": files.get(one.lock.hash, []),
    }
