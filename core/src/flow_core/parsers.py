"""Parsers: how the text of a file becomes a value, for configurations and included files.

A parser is a function of the text, given itself, by its import path (``"tomllib.loads"``), or by a
name: ``json`` and ``toml`` are known to the kernel, others come from plugins (entry-point group
``flow.parsers``: the name → a function that takes a text and returns the value, and raises
`ValueError` when the text is none of its kind).
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from flow_core.errors import FlowError, UsageError, did_you_mean
from flow_core.index import PluginIndex, installed

GROUP = "flow.parsers"

_BY_SUFFIX = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}


def parser_for(path: str) -> str:
    """Return the name of the parser for a file by its ending: ``json`` where it tells nothing."""
    return next((p for end, p in _BY_SUFFIX.items() if path.lower().endswith(end)), "json")


def load_parser(parser: Any, what: str, index: PluginIndex | None = None) -> Callable[[Any], Any]:
    """Return the function that ``parser`` means; see the module.

    Args:
        parser: function, import path or name.
        what: what it is for, for errors: ``Config 'settings'``.
        index: where to look for plugins; None = all that are installed.

    Raises:
        UsageError: there is none.
    """
    if callable(parser):
        return parser  # type: ignore[no-any-return]
    if not isinstance(parser, str):
        raise UsageError(
            f"{what} has the parser {parser!r}",
            why="a parser is a function, its import path, or a name",
            hint="parser='toml', or parser=my_function",
        )
    if parser in _OWN:
        return _OWN[parser]
    if "." in parser or ":" in parser:
        return _imported(parser, what)
    index = installed() if index is None else index
    if parser not in index.names(GROUP) and did_you_mean(parser, _OWN).startswith("did"):
        raise UsageError(f"There is no parser '{parser}'", hint=did_you_mean(parser, _OWN))
    return index.load(GROUP, parser)  # type: ignore[no-any-return]


def parse(
    parser: Any, content: Any, what: str, index: PluginIndex | None = None, where: str = ""
) -> Any:
    """Return what ``parser`` makes of ``content``.

    Args:
        parser, what, index: as for `load_parser`.
        content: what to parse.
        where: the file that it comes from; the line is added where the parser tells it.

    Raises:
        UsageError: there is no such parser, or it failed, for whatever reason.
    """
    function = load_parser(parser, what, index)
    try:
        return function(content)
    except Exception as error:
        name = parser if isinstance(parser, str) else getattr(parser, "__qualname__", repr(parser))
        raise UsageError(
            f"{what} cannot be parsed by '{name}'",
            where=_place(where, error),
            why=str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}",
            hint="correct the text, or name another parser: parser='json', 'toml', 'yaml'",
        ) from error


def _place(where: str, error: Exception) -> str:
    """Return the place in a file that an error of a parser tells of, as far as it does."""
    mark = getattr(error, "problem_mark", None)  # of YAML, which counts from 0
    line = getattr(error, "lineno", None) if mark is None else mark.line + 1
    return f"{where}:{line}" if where and isinstance(line, int) else where


def _imported(path: str, what: str) -> Callable[[Any], Any]:
    try:
        function = pkgutil.resolve_name(path)
        if not callable(function):
            raise TypeError(f"it is a {type(function).__name__}, not a function")
    except FlowError:
        raise
    except Exception as error:  # whatever an import may raise
        raise UsageError(
            f"{what}: the parser '{path}' cannot be loaded",
            why=f"{type(error).__name__}: {error}",
            hint="the import path of a function, such as 'tomllib.loads', or a name, such as 'json'",
        ) from error
    return function  # type: ignore[no-any-return]


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


_OWN: dict[str, Callable[[Any], Any]] = {"json": json.loads, "toml": _toml}
