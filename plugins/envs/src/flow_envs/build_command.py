"""``env build``: build environments before a run wants them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import UsageError
from flow_envs.wording import plural, size

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session
    from flow_envs.making import Made
    from flow_envs.targets import Target

_HELP = """Build environments on this machine, as far as they are not there. The next run then starts at once.

TARGET is a step of today's flow, FLOW/RUN or FLOW/RUN/STEP, whose locks the run has kept, or a file that
env lock wrote. Without one, all steps of today's flow. --mirror also keeps their packages in the
datastore: then any machine that reaches it builds them again, without an index."""


def build_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def build(words: tuple[str, ...], mirror: bool, as_json: bool) -> None:
        from flow_envs.making import make
        from flow_envs.targets import opened, targets

        with opened(context, words) as (session, names):
            if mirror:
                session.settings.override("mirror_packages", True, "--mirror")
            found = targets(session, names)
            if mirror:
                _check_mirror(session, found)
            if not as_json:
                session.start()  # so that somebody tells how it goes
            made = make(session, found)
            if mirror:
                _mirror(session, made)
            rows = [(one, _size(one)) for one in made]
        if as_json:
            context.echo(json.dumps([_data(*row) for row in rows], indent=2))
            return
        for line in _text(rows, mirror):
            context.echo(line)

    return click.Command(
        "build",
        callback=build,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] [TARGET]..."),
            click.Option(
                ["--mirror"], is_flag=True, help="Keep their packages in the datastore, too."
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_HELP,
    )


def _mirror(session: Session, made: Sequence[Made]) -> None:
    """Keep the packages of environments that were there already; those built now have done it."""
    session.environments.mirror([name for one in made if not one.built for name in one.names[:1]])


def _check_mirror(session: Session, targets: Sequence[Target]) -> None:
    """Raise `UsageError` unless all providers can keep packages."""
    for target in targets:
        name = target.lock.provider if target.lock else session.plans[target.step].environment
        if name and not session.environment(name)[0].capabilities.mirrors:
            raise UsageError(
                f"The packages of '{name}' are not kept in the datastore",
                where=f"--mirror, {target.name}",
                why=f"the environment provider '{name}' has no such ability",
                hint="leave --mirror out; providers that have it are those of @pypi and @conda",
            )


def _size(made: Made) -> int:
    from flow_envs.disk import Usage

    return Usage().add(made.ready.folder)


def _text(rows: Sequence[tuple[Made, int]], mirror: bool) -> Iterator[str]:
    for made, count in rows:
        what = "built" if made.built else "was there"
        packages = plural(len(made.ready.packages), "package")
        facts = f"Python {made.ready.python}, {packages}, {size(count)}"
        yield f"{made.ready.name} of {', '.join(made.names)}: {what}, {facts}"
    if mirror:
        yield "Their packages are in the datastore."


def _data(made: Made, count: int) -> dict[str, Any]:
    return {
        "provider": made.lock.provider,
        "lock": made.lock.hash,
        "steps": list(made.names),
        "built": made.built,
        "python": made.ready.python,
        "packages": len(made.ready.packages),
        "bytes": count,
        "path": made.ready.folder,
        "interpreter": made.ready.interpreter,
    }
