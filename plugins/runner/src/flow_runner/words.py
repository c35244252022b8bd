"""From Python arguments to the words of a command line, checked against what a flow has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flow_core.api import UsageError, did_you_mean

ALIASES = {
    "decospecs": "decorators",
    "step_to_rerun": "step",
    "tag": "tags",
}
"""Further names of options and arguments, which people know from elsewhere."""


def option_words(
    options: Sequence[Mapping[str, Any]], given: Mapping[str, Any], whose: str
) -> list[str]:
    """Return the words for options; `UsageError` for a name that none of them has.

    Args:
        options: as the command ``options`` tells them.
        given: values by name; None = not given.
        whose: what has the options, for the error: ``the command 'run' of MyFlow``.
    """
    known = {name: option for option in options for name in option["names"]}
    words: list[str] = []
    for name, value in given.items():
        option = known.get(name) or known.get(ALIASES.get(name, ""))
        if option is None:
            raise UsageError(
                f"There is no option '{name}'",
                where=whose,
                hint=did_you_mean(name, known),
            )
        if value is not None:
            words += _words(option, name, value)
    return words


def split_arguments(
    arguments: Sequence[Mapping[str, Any]],
    positional: Sequence[Any],
    given: Mapping[str, Any],
    whose: str,
) -> tuple[list[str], dict[str, Any]]:
    """Return the words for the arguments of a command, and what is left of ``given``.

    Raises:
        UsageError: there are more than the command takes.
    """
    rest = dict(given)
    for alias, name in ALIASES.items():
        if alias in rest and any(a["name"] == name for a in arguments):
            rest[name] = rest.pop(alias)
    values = list(positional)
    words: list[str] = []
    for argument in arguments:
        if argument["name"] in rest:
            values.insert(0, rest.pop(argument["name"]))
        taken, values = (values, []) if argument["many"] else (values[:1], values[1:])
        words += [str(value) for value in taken if value is not None]
    if values:
        raise UsageError(f"There is no place for the argument {values[0]!r}", where=whose)
    return words, rest


def _words(option: Mapping[str, Any], name: str, value: Any) -> list[str]:
    flag = next((f for f in option["flags"] if f.startswith("--")), option["flags"][0])
    if option["is_flag"]:
        if not isinstance(value, bool):
            raise UsageError(f"Option '{name}' is True or False, not {value!r}")
        return [flag] if value else [option["off"]] if option["off"] else []
    if option.get("pairs"):
        pairs = value.items() if isinstance(value, Mapping) else value
        return [word for key, item in pairs for word in (flag, str(key), _text(item))]
    if option["multiple"]:
        return [word for item in _several(value) for word in _pair(flag, _text(item))]
    return _pair(flag, _text(value))


def _pair(flag: str, text: str) -> list[str]:
    # One word, since a value may begin with a dash; of a short option two.
    return [f"{flag}={text}"] if flag.startswith("--") else [flag, text]


def _several(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple, bool)):
        return json.dumps(value)  # as parameters read it
    return str(value)
