"""What is wrong with the words of a command line: click's errors in our four parts."""

from __future__ import annotations

import re
import traceback
from typing import Any

import click

from flow_core.errors import UsageError, did_you_mean, near_misses

_WORDINGS = {
    "is not a valid integer range": "is not a whole number",
    "is not a valid integer": "is not a whole number",
    "is not a valid float range": "is not a number",
    "is not a valid float": "is not a number",
}


def usage_error(error: click.ClickException) -> UsageError:
    """Return an error of click's with its place, its reason, and what to type instead. Since 0.1."""
    ctx = _context(error)
    what = error.format_message().rstrip(".")
    if ctx is None:
        return UsageError(what)
    place = ctx.command_path
    if isinstance(error, click.NoSuchOption):
        name = _typed(error.option_name, ctx)
        return UsageError(f"There is no option {name}", where=place, hint=_other_option(name, ctx))
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return UsageError(
            what,
            where=place,
            why=_help(error.param) or f"'{place}' needs it",
            hint=f"{place} {_wanted(error.param, ctx)}",
        )
    if isinstance(error, click.BadOptionUsage):
        param = _option(error.option_name, ctx)
        form = _form(param, error.option_name) if param is not None else "--help"
        return UsageError(what, where=place, why=_help(param), hint=f"{place} {form}")
    if isinstance(error, click.BadParameter):
        return _bad_value(error, what, ctx)
    return _other(what, ctx)


def _context(error: click.ClickException) -> click.Context | None:
    """Return the command that the error is about.

    The parser of click does not say it for an option without its value; the frames that the error
    has come through do.
    """
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            found = frame.f_locals.get("ctx")
            ctx = found if isinstance(found, click.Context) else ctx
    return ctx


def _typed(name: str, ctx: click.Context) -> str:
    """Return the option as it was typed: of ``-json`` click only tells that there is no ``-j``."""
    words = getattr(ctx.find_root().obj, "arguments", [])
    if name.startswith("--"):
        return name
    return next((word for word in words if word.startswith(name)), name).partition("=")[0]


def _other_option(name: str, ctx: click.Context) -> str:
    """Return which option may have been meant, or where this one belongs."""
    known = _options(ctx)
    wanted = name if name.startswith("--") or len(name) == 2 else f"-{name}"
    root = ctx.find_root()
    behind = ctx.command_path.removeprefix(f"{root.command_path} ")
    if root is not ctx and wanted in _options(root):
        param = _option(wanted, root)
        return f"it stands before the command: {root.command_path} {_form(param, wanted)} {behind}"
    begun = sorted(option for option in known if option.startswith(wanted))
    if begun:
        return "did you mean " + " or ".join(f"'{option}'" for option in begun) + "?"
    return did_you_mean(wanted, known) or f"{ctx.command_path} --help"


def _bad_value(error: click.BadParameter, what: str, ctx: click.Context) -> UsageError:
    for theirs, ours in _WORDINGS.items():
        what = what.replace(theirs, ours)
    kind = error.param.type if error.param is not None else None
    hint = f"{ctx.command_path} --help"
    given = re.match("'(.*)' is not one of ", error.message)
    if isinstance(kind, click.Choice) and given:
        hint = did_you_mean(given[1], [str(choice) for choice in kind.choices])
    return UsageError(what, where=ctx.command_path, why=_help(error.param), hint=hint)


def _other(what: str, ctx: click.Context) -> UsageError:
    """An argument too many, or a command of a command."""
    place, hint = ctx.command_path, f"{ctx.command_path} --help"
    unknown = re.match("No such command '([^']*)'", what)
    surplus = re.match(r"Got unexpected extra arguments? \((\S*)", what)
    if unknown and isinstance(ctx.command, click.Group):
        known = ctx.command.list_commands(ctx)
        what = f"There is no command '{unknown[1]}'"
        hint = did_you_mean(unknown[1], known) or hint
    elif surplus:
        word = surplus[1].rstrip(")")
        named = {option.lstrip("-"): option for option in _options(ctx)}
        close = near_misses(word, named)
        hint = did_you_mean(named[close[0]], [named[name] for name in close]) if close else hint
    return UsageError(what, where=place, hint=hint)


def _options(ctx: click.Context) -> list[str]:
    params = [p for p in ctx.command.params if isinstance(p, click.Option) and not p.hidden]
    return [name for p in params for name in (*p.opts, *p.secondary_opts)]


def _option(name: str, ctx: click.Context) -> click.Parameter | None:
    return next((p for p in ctx.command.params if name in (*p.opts, *p.secondary_opts)), None)


def _form(param: Any, name: str = "") -> str:
    """Return how a parameter is typed: ``--max-workers N``, or ``PATHSPEC``."""
    kind = param.type
    usual = (
        "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()
    )
    if isinstance(param, click.Argument):
        return param.metavar or str(param.name).upper()
    takes_none = getattr(param, "is_flag", False) or getattr(param, "count", False)
    return name if takes_none else f"{name or param.opts[0]} {param.metavar or usual}"


def _wanted(param: click.Parameter, ctx: click.Context) -> str:
    """Return how what is missing is typed: of arguments all, since their order tells them apart."""
    if not isinstance(param, click.Argument):
        return _form(param)
    arguments = [p for p in ctx.command.params if isinstance(p, click.Argument)]
    return " ".join(_form(p) if p.required else f"[{_form(p).strip('[]')}]" for p in arguments)


def _help(param: click.Parameter | None) -> str | None:
    """Return what an option is for: where its value is wrong, that says what it should be."""
    text = getattr(param, "help", None)
    return f"{param.opts[0]}: {text}" if text and param is not None else None
