"""The providers that need no service: ``inline``, ``env``, ``file``."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flow_core.api import NotFound, UsageError, near_misses

if TYPE_CHECKING:
    from flow_core.api import SecretSource, Settings


class InlineSecrets:
    """``{"type": "inline", "options": {"env_vars": {"TOKEN": "…"}}}``: for tests, since what stands
    in the source is in the snapshot of the code too."""

    def __init__(self, settings: Settings) -> None:
        pass

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return what the source holds."""
        source.check_options(["env_vars"])
        variables = source.options.get("env_vars")
        if not isinstance(variables, Mapping):
            raise UsageError(
                "its option 'env_vars' is no dict",
                hint="{'type': 'inline', 'options': {'env_vars': {'TOKEN': '…'}}}",
            )
        return dict(variables)


class EnvironmentSecrets:
    """``"env.TOKEN"``: variables that the process of the task has already, local tasks those of the
    launcher. They become secrets: masked, and present in the step for sure. ``"env.DB_*"`` names
    all that begin so; the option ``env_var_name`` gives a single one another name."""

    def __init__(self, settings: Settings) -> None:
        pass

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return the variables."""
        source.check_options(["env_var_name"])
        if any(sign in source.id for sign in "*?["):
            names = fnmatch.filter(sorted(os.environ), source.id)
            found = {name: os.environ[name] for name in names}
            if not found:
                raise NotFound(f"no environment variable is like '{source.id}'")
            return found
        if source.id not in os.environ:
            close = near_misses(source.id, os.environ)
            raise NotFound(
                f"there is no environment variable '{source.id}'",
                hint=f"did you mean '{close[0]}'?" if close else f"export {source.id}=…",
            )
        return {source.options.get("env_var_name") or source.id: os.environ[source.id]}


class FileSecrets:
    """``"file.PATH"``: a file of lines ``NAME=value`` (dotenv), or a JSON object if its name ends in
    ``.json`` or the option ``format`` is ``"json"``. Relative to the task's working folder."""

    def __init__(self, settings: Settings) -> None:
        pass

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return what stands in the file."""
        source.check_options(["format"])
        path = os.path.expanduser(source.id)
        form = source.options.get("format") or ("json" if path.endswith(".json") else "dotenv")
        if form not in ("json", "dotenv"):
            raise UsageError(f"there is no format '{form}'", hint="'json' or 'dotenv'")
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise NotFound(
                f"the file cannot be read: {error.strerror}",
                why=os.path.abspath(path),
                hint="name it relative to the folder in which the task runs, or absolutely",
            ) from None
        return json_variables(text) if form == "json" else dict(read_dotenv(text))


def json_variables(text: str) -> dict[str, str]:
    """Return a JSON object as variables; values that are no text become JSON text.

    Raises:
        UsageError: it is no JSON object. What it contains is not shown.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"it is not JSON{place}") from None
    if not isinstance(found, dict):
        raise UsageError(f"it is a JSON {type(found).__name__}, not an object")
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in found.items()}


_LINE = re.compile(
    r"""[^\S\n]*
    (?: (?:export[^\S\n]+)? (?P<name>[A-Za-z_]\w*) [^\S\n]*=[^\S\n]*
        (?: '(?P<single>[^']*)' | "(?P<double>(?:\\.|[^"\\])*)" | (?P<plain>(?!["'])[^\n]*?) )
        [^\S\n]*
    )?
    (?:(?:(?<=\s)|^|(?<=['"]))\#[^\n]*)?
    (?:\n|\Z)""",
    re.VERBOSE | re.MULTILINE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def read_dotenv(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of lines ``NAME=value``.

    ``export`` before the name, comments (``#``), and quotes are understood: what is in quotes may have
    several lines, and in double quotes ``\\n``, ``\\t``, ``\\"``. Of a name that comes twice, the later
    one counts. Nothing is replaced within values.

    Raises:
        UsageError: a line is none of this. It is named by its number, not shown.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    position = 0
    while position < len(text):
        line = _LINE.match(text, position)
        if line is None:
            number = text.count("\n", 0, position) + 1
            raise UsageError(f"line {number} is not of the form NAME=value")
        if line["name"]:
            yield line["name"], _value(line)
        position = line.end()


def _value(line: re.Match[str]) -> str:
    if line["double"] is not None:
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), line["double"])
    value: Any = line["single"] if line["single"] is not None else line["plain"]
    return str(value)
