"""``env show``: what an environment has, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_envs.wording import facts, moment, packages_table, size, table

if TYPE_CHECKING:
    from flow_core.api import BuiltEnvironment, CommandContext, Session
    from flow_envs.packages import Package
    from flow_envs.targets import Target

_HELP = """Show what the environment of a step has: Python, packages and where they come from, its lock, size
and place.

TARGET is a step of today's flow, FLOW/RUN/STEP, or a lock of this machine. Without one, or for a run, it is
a table of all steps. Nothing is resolved, and nothing is built."""


class _Shown(NamedTuple):
    """An environment, with all that is known of it."""

    target: Target
    provider: str
    lock: str
    built: BuiltEnvironment | None
    state: str
    packages: list[Package]
    size: int

    @property
    def python(self) -> str:
        """Version of the Python, as far as it is known."""
        if self.built is not None and self.built.ready is not None:
            return self.built.ready.python
        lock = self.target.lock
        told = str(lock.data.get("python", "")) if lock is not None else ""
        return told or next((p.version for p in self.packages if p.name == "python"), "")

    @property
    def platform(self) -> str:
        """The platform that the lock is for, if it says so."""
        lock = self.target.lock
        return str(lock.data.get("platform", "")) if lock is not None else ""


def show_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def show(words: tuple[str, ...], as_json: bool) -> None:
        from flow_envs.targets import opened, targets

        with opened(context, words) as (session, names):
            found = [_look_at(session, target) for target in targets(session, names)]
        one = len(found) == 1 and bool(names)
        if as_json:
            data = [_data(shown) for shown in found]
            context.echo(json.dumps(data[0] if one else data, indent=2))
            return
        for line in _text(found[0]) if one else _table(found):
            context.echo(line)

    return click.Command(
        "show",
        callback=show,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] [TARGET]..."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _look_at(session: Session, target: Target) -> _Shown:
    from flow_core.api import built_environments
    from flow_envs.disk import Usage
    from flow_envs.list_command import state_of
    from flow_envs.packages import packages_of

    built = target.built
    if built is None and target.lock is not None:
        everything = built_environments(session.environments.root)
        place = (target.lock.provider, target.lock.hash[:16])
        built = next((one for one in everything if (one.provider, one.key) == place), None)
    ready = built.ready if built is not None else None
    lock = target.lock.hash if target.lock else ready.lock if ready else ""
    provider = target.lock.provider if target.lock else built.provider if built else ""
    if not provider:
        provider = session.plans[target.step].environment or ""
    return _Shown(
        target,
        provider,
        lock or (built.key if built else ""),
        built,
        state_of(built) if built is not None else "not built here" if lock else "not resolved",
        packages_of(target.lock, ready),
        Usage().add(built.folder) if built is not None else 0,
    )


def _table(found: list[_Shown]) -> Iterator[str]:
    rows = [
        (
            shown.target.name,
            f"{shown.provider} {shown.lock[:8]}".rstrip(),
            shown.python,
            f"{len(shown.packages):,}" if shown.packages else "",
            size(shown.size) if shown.built else "",
            shown.state,
        )
        for shown in found
    ]
    yield from table(
        ("STEP", "ENVIRONMENT", "PYTHON", "PACKAGES", "SIZE", "STATE"), rows, "PACKAGES SIZE"
    )


def _text(shown: _Shown) -> Iterator[str]:
    built, ready = shown.built, shown.built.ready if shown.built else None
    name = f"{shown.provider} {shown.lock[:8]}".rstrip()
    of = f" of {shown.target.name}" if shown.target.step else ""
    yield click.style(f"Environment {name}{of}", bold=True)
    kind = f" ({ready.implementation})" if ready else ""
    yield from facts(
        [
            ("state", shown.state),
            ("python", f"{shown.python}{kind}" if shown.python else ""),
            ("platform", shown.platform),
            ("lock", shown.lock),
            ("path", built.folder if built else ""),
            ("size", size(shown.size) if built else ""),
            ("built", moment(ready.made_at) if ready else ""),
            ("last used", moment(built.used_at) if built else ""),
            ("variables", ", ".join(sorted(ready.variables)) if ready else ""),
        ]
    )
    if shown.packages:
        yield ""
        yield from packages_table(shown.packages)


def _data(shown: _Shown) -> dict[str, Any]:
    target, built = shown.target, shown.built
    ready = built.ready if built else None
    document = target.document
    return {
        "name": target.name,
        "step": target.step or None,
        "run": f"{document.flow}/{document.run}" if document else None,
        "provider": shown.provider,
        "lock": shown.lock or None,
        "state": shown.state,
        "python": shown.python or None,
        "implementation": ready.implementation if ready else None,
        "platform": shown.platform or None,
        "packages": [
            {"name": p.name, "version": p.version, "from": p.source or None} for p in shown.packages
        ],
        "path": built.folder if built else None,
        "interpreter": ready.interpreter if ready else None,
        "bytes": shown.size if built else None,
        "made_at": ready.made_at if ready else None,
        "used_at": built.used_at if built else None,
    }
