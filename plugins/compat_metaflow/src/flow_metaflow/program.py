"""The command line of the predecessor: ``python flow.py [OPTIONS] COMMAND [OPTIONS]``.

What differs from flow-core's is translated; the rest is flow-core's own command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from flow_core.api import Front, UsageError, did_you_mean, main, near_misses, usage_error
from flow_metaflow import VERSION, environment, finder
from flow_metaflow.commands import own_commands
from flow_metaflow.names import refuse_decorators
from flow_metaflow.rewriting import after_command

DEFAULT = "check"


def start(flow: Any) -> NoReturn:
    """Run the command line of a flow, with this process's arguments, and exit."""
    script = os.path.basename(sys.argv[0])
    given = sys.argv[1:]
    front = Front(f"python -m flow_metaflow {sys.argv[0]}", own_commands())
    try:
        words = translate(given, flow, script)
    except click.NoSuchOption as error:
        _tell(_no_such_option(error, script))
    except click.ClickException as error:
        _tell(usage_error(error))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except UsageError as error:
        _tell(error)
    main(words, flow=flow, front=front)


def _tell(error: UsageError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _no_such_option(error: click.NoSuchOption, script: str) -> UsageError:
    known = [name for option in _options() for name in (*option.opts, *option.secondary_opts)]
    return UsageError(
        f"There is no option {error.option_name} in front of the command",
        where=script,
        hint=did_you_mean(error.option_name, known)
        if near_misses(error.option_name, known)
        else f"python -m flow_metaflow {script} help",
    )


def translate(given: Sequence[str], flow: Any, script: str) -> list[str]:
    """Return flow-core's arguments for the predecessor's; settings without an option are set.

    Raises:
        UsageError: something is asked for that is not offered.
    """
    top = _parse(given, script)
    rest = list(top.pop("rest")) or [DEFAULT]
    if top.pop("help_wanted") or rest[0] == "help":
        _show_options(script)
        rest = ["--help"]
    _refuse(top, script)
    _set_variables(top)
    if not top["quiet"] and os.environ.get(environment.OWN + "QUIET") != "1":
        _header(flow.__name__)
    words = _before_command(top)
    refuse_decorators(os.environ.get("FLOW_WITH", "").split(), "METAFLOW_DEFAULT_DECOSPECS")
    return [*words, *after_command(rest, _for_run(top), flow)]


def _show_options(script: str) -> None:
    """Write the options that may stand before the command; flow-core writes the commands."""
    shell = click.Command(script, params=_options()[:-2])
    formatter = click.HelpFormatter()
    shell.format_options(click.Context(shell), formatter)
    click.echo("Before the command, as Metaflow's:\n\n" + formatter.getvalue())


def _header(flow: str) -> None:
    from flow_core.api import Settings

    user = Settings().user()
    click.echo(f"flow-metaflow {VERSION} executing {flow} for user:{user}", err=True)
    for text in environment.warnings(environment.variables()):
        click.echo(f"    Note: {text}", err=True)
    hidden = finder.hidden_package()
    if hidden is not None:
        click.echo(f"    Note: the installed metaflow is not used: {hidden}", err=True)


def _refuse(top: dict[str, Any], script: str) -> None:
    kind = top["environment"] or "local"
    if kind in ("conda", "pypi") and not environment.makes_environments(kind):
        os.environ[environment.OWN + "ENVIRONMENT"] = kind  # steps that switch it off may run
    elif kind not in ("local", "conda", "pypi"):
        raise UsageError(
            f"--environment={kind} is not offered by flow-metaflow yet",
            where=script,
            why="flow-conda and flow-pypi make environments for steps: conda and pypi",
            hint="@pypi_base(pyproject='pyproject.toml') above the flow: its uv.lock counts"
            if kind == "uv"
            else "--environment=pypi, or install the packages here, and leave --environment out",
        )
    _refuse_metadata(top, script)


def _refuse_metadata(top: dict[str, Any], script: str) -> None:
    if top["metadata"] not in (None, "local") and "://" not in top["metadata"]:
        raise UsageError(
            f"--metadata={top['metadata']} is not offered by flow-metaflow",
            where=script,
            why="there is no metadata service; runs are indexed beside the store",
            hint="leave --metadata out",
        )


def _set_variables(top: dict[str, Any]) -> None:
    """Set what flow-core has no option for, for this process and those that it starts."""
    if top["package_suffixes"]:
        os.environ["FLOW_CODE_SUFFIXES"] = environment.suffixes(top["package_suffixes"])


def _before_command(top: dict[str, Any]) -> list[str]:
    refuse_decorators(top["decorators"], "--with")
    words = [word for text in top["decorators"] for word in ("--with", text)]
    words += [word for text in top["plugins"] for word in ("-p", text)]
    given = environment.variables()
    if top["datastore"] or top["datastore_root"]:
        name = top["datastore"] or given.get("DEFAULT_DATASTORE")
        store = environment.datastore(name, given, top["datastore_root"])
        words += ["--datastore", store or "local"]
    if environment.makes_environments(top["environment"] or ""):
        words += ["--environment", top["environment"]]
    if top["metadata"] and "://" in top["metadata"]:
        words += ["--metadata", top["metadata"]]
    for option in ("config", "config_value"):
        for name, value in top[option]:
            words += ["--" + option.replace("_", "-"), name, value]
    return words


def _for_run(top: dict[str, Any]) -> list[str]:
    """Return the options of flow decorators, which stand behind the command in flow-core."""
    words = ["--production"] if top["production"] else []
    words += ["--branch", top["branch"]] if top["branch"] else []
    return [*words, *(word for text in top["trigger"] for word in ("--trigger", text))]


def _parse(given: Sequence[str], script: str) -> dict[str, Any]:
    shell = click.Command(
        script,
        params=_options(),
        add_help_option=False,
        context_settings={"allow_interspersed_args": False},
        options_metavar="[OPTIONS] COMMAND",
    )
    with shell.make_context(script, list(given)) as context:
        return dict(context.params)


_TEXTS = {
    "--metadata": "Where runs are indexed: local.",
    "--environment": "What steps run in: local, or conda and pypi with their plugins.",
    "--datastore": "Where artifacts are stored: local, or what a plugin provides.",
    "--datastore-root": "The folder, or the place, of the datastore.",
    "--event-logger": "Taken, and without effect.",
    "--monitor": "Taken, and without effect.",
    "--package-suffixes": "Further endings of files in the code snapshot, by commas.",
    "--branch": "The branch of a @project.",
}


def _options() -> list[click.Parameter]:
    return [
        click.Option(["--quiet/--not-quiet"], help="Suppress unnecessary messages."),
        *(click.Option([text], help=help_text) for text, help_text in _TEXTS.items()),
        *(click.Option([text], multiple=True, nargs=2) for text in ("--config", "--config-value")),
        click.Option(["--pylint/--no-pylint"], default=True, help="Taken, and without effect."),
        click.Option(["--with", "decorators"], multiple=True, help="Add a decorator to all steps."),
        click.Option(["-p", "plugins"], multiple=True, help="As flow-core's."),
        click.Option(["--production"], is_flag=True, help="The production branch of a @project."),
        click.Option(["--trigger"], multiple=True, help="A run that stands for the trigger."),
        click.Option(["--force-rebuild-environments"], is_flag=True, hidden=True),
        click.Option(["--help", "-h", "help_wanted"], is_flag=True),
        click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED),
    ]
