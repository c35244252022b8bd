"""The command line: ``flow COMMAND …`` and ``python my_flow.py COMMAND …``.

This is only the shell: every command is a provider of a plugin. It knows the top-level options, finds
and loads the flow file for commands that need one, and shows errors.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from flow_core import __version__
from flow_core.errors import (
    FlowError,
    PluginError,
    RunFailed,
    UsageError,
    did_you_mean,
    near_misses,
)
from flow_core.index import PluginIndex, hook_modules, installed
from flow_core.parameters import has_configs
from flow_core.settings import Settings
from flow_core.text import harmless, module_of

if TYPE_CHECKING:
    from types import FrameType

    from click.shell_completion import CompletionItem

    from flow_core.session import Session

GROUP = "flow.commands"


class Front(NamedTuple):
    """What a program that is another way into flow-core says of itself, for `main`.

    Attributes:
        program: what stands before the options and the command when a person types it, for usage
            texts and hints: ``python -m flow_metaflow my_flow.py``; None = flow-core's own form.
        commands: commands of its own by name. They stand before those of plugins.

    Since 0.1.
    """

    program: str | None = None
    commands: Mapping[str, Any] = {}


class Context:
    """What a command gets from the command line around it; see `flow_core.api.CommandContext`."""

    def __init__(
        self,
        flow: Any,
        index: PluginIndex,
        settings: Settings,
        ready: Callable[[], None] | None = None,
        front: Front | None = None,
    ) -> None:
        self.flow = flow
        self.front = front or Front()
        self.ready = ready
        self.script = flow is not None
        self.name = ""
        self.settings = settings
        self.decorators: list[str] = []
        self.plugins: list[str] = []
        self.configs: list[tuple[str, str]] = []
        self.config_values: list[tuple[str, str]] = []
        self.arguments: list[str] = []
        self._installed = index
        self._from_settings = settings["plugins"].split(",")
        self.index = index.choose(self._from_settings)
        self._session: Any = None

    def apply(self, options: Mapping[str, Any]) -> None:
        """Take over the top-level options."""
        self.decorators.extend(options["decorators"])
        self.plugins.extend(options["plugins"])
        self.configs.extend(options["config"])
        self.config_values.extend(options["config_value"])
        self._check_plugins(options["plugins"])
        if options["quiet"]:
            self.settings.override("quiet", True, "--quiet")
        for name in ("datastore", "metadata", "compute", "environment"):
            if options[name] is not None:
                self.settings.override(name, options[name], f"--{name}")
        self.index = self._installed.choose([*self.plugins, *self._from_settings])

    def _check_plugins(self, choices: Sequence[str]) -> None:
        """Raise `UsageError` for a mistyped ``no:NAME``, which would be without effect."""
        known = [*self.index.plugins(), *(e.distribution for e in self.index.entry_points)]
        known += hook_modules(self._from_settings)
        for choice in choices:
            _, colon, name = choice.partition(":")
            if colon and name not in known and near_misses(name, known):
                raise UsageError(
                    f"There is no plugin '{name}'",
                    where=f"-p {choice}",
                    hint=did_you_mean(name, known),
                )

    def check_store(self) -> None:
        """Raise what is wrong with --datastore: that is told before a flow file is missed."""
        text = self.settings.overrides().get("datastore")
        if text is None:
            return
        if self.index.find_opener("flow.stores", text).group != "flow.stores":
            self.index.open("flow.stores", text)  # whoever opens any URL knows its scheme, or not

    def provider(self, name: str) -> Any:
        """Return the command of this name, as its plugin or the program offers it."""
        return self.front.commands.get(name) or self.index.load(GROUP, name)

    def session(self) -> Any:
        """Return the session, made once."""
        if self._session is None:
            from flow_core.session import Session

            self._session = Session(
                self.flow,
                settings=self.settings,
                index=self.index,
                decorators=self.decorators,
                plugins=self.plugins,
                configs=self.configs,
                config_values=self.config_values,
            )
            self._session.program = self.front.program
        return self._session

    def take_configs(self) -> None:
        """Take ``--config`` and ``--config-value`` out of the arguments of the command.

        The other options of a command depend on the flow, and that on these.
        """
        from flow_core.config import split_arguments

        self.arguments, files, values = split_arguments(self.arguments)
        self.configs.extend(files)
        self.config_values.extend(values)

    def echo(self, text: str = "", *, error: bool = False) -> None:
        """Write a line to standard output (or standard error), colours removed in a pipe."""
        click.echo(text, err=error, color=False if self.settings.no_color() else None)

    def outcome_told(self) -> bool:
        """Whether a plugin has shown how the run ended."""
        return self._session is not None and bool(self._session.outcome_told)

    def close(self) -> None:
        """Close the session, if there is one."""
        if self._session is not None:
            self._session.close()
            for error in self._session.put_aside:
                _show_parts("warning: ", "yellow", error)


class Shell(click.Group):
    """A click group whose commands come from the entry points of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all installed commands."""
        return sorted({*ctx.obj.index.names(GROUP), *ctx.obj.front.commands})

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or options, that begin with what was typed, for the shell."""
        if incomplete and not incomplete[0].isalnum():
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        index, names = ctx.obj.index, self.list_commands(ctx)
        return [
            CompletionItem(name, help=index.load(GROUP, name).summary)
            for name in names
            if name.startswith(incomplete)
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and the flow file behind it where the command needs one."""
        context: Context = ctx.obj
        context.apply(ctx.params)  # click would call a callback only after this
        name, rest = args[0], args[1:]
        shown = name
        if context.flow is None and name.endswith(".py"):
            raise _file_first(name, rest, context.index.names(GROUP))
        provider = context.provider(name)
        if provider.needs_flow and context.flow is None:
            if not rest or rest[0] in ("--help", "-h"):
                return name, _needs_file(context, name, provider.summary), rest
            context.flow = _load(context, rest[0], name)
            shown = f"{name} {rest[0]}"  # in usage texts and errors
            rest = rest[1:]
        elif context.flow is None and (context.configs or context.config_values):
            raise UsageError(
                f"The command '{name}' works without a flow, so there is nothing to configure",
                where="--config",
                hint="leave --config and --config-value out",
            )
        context.name, context.arguments = name, rest
        if provider.needs_flow and has_configs(context.flow):
            command = _build_with_configs(provider, context)
        else:
            command = _build(provider, context)
        if context.ready is not None:
            context.ready()
        return shown, command, [*context.arguments]  # which click uses up

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; a broken one is shown as such."""
        rows = []
        for name in self.list_commands(ctx):
            try:
                rows.append((name, ctx.obj.provider(name).summary))
            except PluginError as error:
                rows.append((name, f"(cannot be used: {error.what})"))
        if rows:  # a kernel without plugins has none
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _build(provider: Any, context: Context) -> click.Command:
    """Have a plugin make its command; what goes wrong there is the plugin's defect."""
    try:
        command: click.Command = provider.build(context)
    except (FlowError, click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        entry = context.index.find(GROUP, context.name)
        raise PluginError(
            f"The plugin '{entry.plugin}' failed to make its command '{context.name}'",
            where=f"{entry.origin}, {entry.value}",
            why=f"{type(error).__name__}: {error}",
            hint=f"repair it, or leave it out: -p no:{entry.plugin}; "
            "FLOW_DEBUG=1 shows the traceback",
        ) from error
    return command


class _NeedsFile(click.Command):
    """A command before it has its flow file, which the shell completes."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def _build_with_configs(provider: Any, context: Context) -> click.Command:
    """Make the command of a flow with configurations, which its options may depend on."""
    context.take_configs()
    try:
        command = _build(provider, context)
    except UsageError as error:
        if not {"--help", "-h"} & set(context.arguments):
            raise
        text = f"{provider.summary}\n\nFurther options depend on the configuration: {error.what}"
        command = click.Command(context.name, help=text)
    command.params.extend(_config_options(context.flow))
    return command


def _config_options(flow: Any) -> list[click.Option]:
    """The options, for the help alone: they were taken out of the arguments before."""
    from flow_core.config import help_text

    return [
        click.Option(
            [option],
            nargs=2,
            multiple=True,
            expose_value=False,
            metavar=f"NAME {value}",
            help=help_text(flow, option),
        )
        for option, value in (("--config", "FILE"), ("--config-value", "TEXT"))
    ]


def _needs_file(context: Context, name: str, summary: str) -> click.Command:
    """The help of a command whose options are known only once the flow is."""

    def missing() -> NoReturn:
        context.check_store()
        raise UsageError(f"'flow {name}' needs a flow file", hint=f"flow {name} my_flow.py")

    return _NeedsFile(
        name,
        callback=missing,
        help=f"{summary}\n\nFurther options depend on the flow: flow {name} FILE --help",
        options_metavar="FILE [OPTIONS]",
        add_help_option=True,
    )


def _file_first(file: str, rest: Sequence[str], commands: Sequence[str]) -> UsageError:
    command, *more = rest if rest and rest[0] in commands else ("run", *rest)
    return UsageError(
        f"'{file}' is a file, not a command: the command comes first",
        hint=" ".join(["flow", command, file, *more]),
    )


def _load(context: Context, text: str, command: str) -> Any:
    from flow_core.flowfile import load_flow

    if not text.endswith(".py"):
        context.check_store()
    if text.startswith("-"):
        raise UsageError(
            f"'flow {command}' needs a flow file before its options",
            why=f"it was given '{text}'",
            hint=f"flow {command} my_flow.py {text}",
        )
    return load_flow(text)


def _options(flow: Any) -> list[click.Parameter]:
    without = flow is None or not has_configs(flow)
    return [
        click.Option(
            ["--config"],
            nargs=2,
            multiple=True,
            hidden=without,
            metavar="NAME FILE",
            help="Read a configuration of the flow from FILE; may be repeated.",
        ),
        click.Option(
            ["--config-value"],
            nargs=2,
            multiple=True,
            hidden=without,
            metavar="NAME TEXT",
            help="Give a configuration of the flow as text; may be repeated.",
        ),
        click.Option(
            ["--with", "decorators"],
            multiple=True,
            metavar="NAME[:OPTION=VALUE,…]",
            help="Add a decorator to every step that lacks it; may be repeated.",
        ),
        click.Option(
            ["-p", "plugins"],
            multiple=True,
            metavar="no:NAME|only:NAME|MODULE",
            help="Leave a plugin out, all others out, or add a module; may be repeated.",
        ),
        click.Option(["--datastore"], metavar="NAME|URL", help="Where artifacts are stored."),
        click.Option(["--metadata"], metavar="NAME|URL", help="Where runs are indexed."),
        click.Option(["--compute"], metavar="NAME", help="Where tasks run that do not say so."),
        click.Option(
            ["--environment"],
            metavar="NAME",
            help="local: all steps run in this Python, whatever they ask for; another name: steps "
            "that ask for none run in an environment of that provider.",
        ),
        click.Option(
            ["--quiet", "-q"], is_flag=True, help="Show nothing of a run but its failures."
        ),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
    ]


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"flow-core {__version__}")
        ctx.exit()


def _shell(name: str, flow: Any) -> Shell:
    return Shell(
        name,
        params=_options(flow),
        help=_help(flow),
        no_args_is_help=True,
        subcommand_metavar="COMMAND [ARGS]…" if flow is not None else "COMMAND [FILE] [ARGS]…",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def log_size_option() -> click.Option:
    """Return ``--max-log-size``, for commands that run tasks: see `take_log_size`. Since 0.1."""
    return click.Option(
        ["--max-log-size"],
        type=click.FloatRange(min=0),
        metavar="MB",
        help="Megabytes kept of each output stream of a task (default: 10).",
    )


def take_log_size(session: Session, given: float | None) -> None:
    """Let what was given as ``--max-log-size``, None = nothing, count as the setting. Since 0.1."""
    if given is not None:
        session.settings.override("max_log_size", given, "--max-log-size")


def run_id_file_option(what: str = "run id") -> click.Option:
    """Return ``--run-id-file``, for commands that start a run; ``what`` is written there. Since 0.1."""
    return click.Option(
        ["--run-id-file"],
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help=f"Write the {what} to FILE as soon as it is known.",
    )


def main(
    arguments: Sequence[str] | None = None, *, flow: Any = None, front: Front | None = None
) -> NoReturn:
    """Run the command line and exit.

    Args:
        arguments: without the program's name; None = those of this process.
        flow: the flow class, when its script is the program.
        front: the program, when it is another than ``flow`` or the script of a flow.

    Exit status: 0 = done, 1 = the flow or the command failed, 2 = called wrongly.
    """
    collecting = gc.isenabled()
    gc.disable()  # what a start makes stays: looking for garbage in it is a tenth of a small command
    ready = _collect_again if collecting else None
    status = run(arguments, flow=flow, ready=ready, front=front)
    gc.freeze()  # so that the interpreter does not look through all of it again at its end
    _end_quietly_at_ctrl_c()
    sys.exit(status)


def _end_quietly_at_ctrl_c() -> None:
    """All is done and told: an interrupt of the interpreter's end would only print a traceback."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupted_late)


def _interrupted_late(number: int, frame: FrameType | None) -> None:
    # A script may catch our exit and go on: as long as it runs, all is as ever.
    outermost = frame
    while outermost is not None and outermost.f_back is not None:
        outermost = outermost.f_back
    if outermost is not None and outermost.f_globals.get("__name__") == "__main__":
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _collect_again() -> None:
    gc.freeze()
    gc.enable()


def run(
    arguments: Sequence[str] | None = None,
    *,
    flow: Any = None,
    ready: Callable[[], None] | None = None,
    front: Front | None = None,
) -> int:
    """As `main`, but return the exit status; ``ready`` is called before the command begins."""
    _complete_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = False
    closed = 0
    context: Context | None = None
    try:
        settings = Settings(warn=_show_deprecation)
        debug = settings["debug"]
        context = Context(flow, installed(), settings, ready, front)
        script = module_of(sys.argv[0]) or os.path.basename(sys.argv[0])
        name = context.front.program or (f"python {script}" if flow is not None else "flow")
        shell = _shell(name, flow)
        result = shell.main(given, prog_name=name, obj=context, standalone_mode=False)
        status = result if isinstance(result, int) else 0  # what a command exits with
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.ClickException as error:
        status = _show_usage(error)
    except RunFailed as error:
        # In a pipe both are wanted: what a listener told went where the output goes.
        told = context is not None and context.outcome_told() and sys.stdout.isatty()
        status = error.exit_code if told else _show(error, debug)
    except (FlowError, KeyboardInterrupt, click.Abort, BrokenPipeError) as error:
        status = _show(error, debug)
    except Exception as error:
        status = _show_bug(error, debug)
    finally:
        if context is not None:
            closed = _close(context, debug)
    return status or closed


def _close(context: Context, debug: bool) -> int:
    with contextlib.suppress(KeyboardInterrupt):  # all is done and said
        try:
            context.close()
        except (FlowError, BrokenPipeError) as error:  # such as a plugin's, in its last hook
            return _show(error, debug)
    return 0


def _complete_streams() -> None:
    """Open what is closed of the standard streams; a daemon may start a program without them.

    Else the next file that is opened, such as a database, takes the place of the output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _help(flow: Any) -> str:
    if flow is None:
        return "Run and inspect data-science workflows. Every command is a plugin."
    doc = (flow.__doc__ or "").strip().partition("\n\n")[0]
    return f"{doc or f'The flow {flow.__name__}.'}"


def _show_usage(error: click.ClickException) -> int:
    """Show an error of click's in our four parts."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help())
        return 2
    from flow_core.usage import usage_error

    return _show(usage_error(error), False)


def _show(error: BaseException, debug: bool) -> int:
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        click.echo("Interrupted.", err=True)
        return 1
    if isinstance(error, BrokenPipeError):
        # The reader of our output is gone (`| head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    assert isinstance(error, FlowError)
    if debug:
        import traceback

        traceback.print_exception(error)
    _show_parts("error: ", "red", error)
    return error.exit_code


def _show_deprecation(warning: Warning, source: str) -> None:
    _show_parts("warning: ", "yellow", FlowError(str(warning), where=source))


def _show_parts(kind: str, colour: str, error: FlowError) -> None:
    click.echo(click.style(kind, fg=colour, bold=True) + harmless(error.what), err=True)
    for label, text in error.parts():
        first, *rest = harmless(text).splitlines()
        click.echo("  " + click.style(f"{label + ':':<7}", dim=True) + first, err=True)
        for line in rest:
            click.echo("         " + line, err=True)


def _show_bug(error: Exception, debug: bool) -> int:
    """An exception that is none of ours: keep the traceback, but out of the person's way."""
    import tempfile
    import traceback

    if debug:
        traceback.print_exception(error)
        return 1
    with tempfile.NamedTemporaryFile(
        "w", prefix="flow-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return _show(
        FlowError(
            f"flow-core itself failed: {type(error).__name__}: {error}",
            where=f"the traceback is in {file.name}",
            why="this is a bug in flow-core or in a plugin",
            hint="FLOW_DEBUG=1 shows the traceback here; please report it",
        ),
        False,
    )
