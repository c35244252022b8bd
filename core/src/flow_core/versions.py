"""What a requirement may say besides a range of releases: pre-releases and conditions.

`flow_core.index` decides the usual ``>=0.1,<1`` by itself; this module is imported for the rest only.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

_VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|a|beta|b|preview|pre|rc|c)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LAST = float("inf")


def compare(mine: str, sign: str, other: str) -> bool:
    """Whether version ``mine`` stands to ``other``, such as ``1.0rc1``, as ``sign`` says.

    Raises:
        ValueError: one of them is no version.
    """
    if sign == "===":
        return mine.lower() == other.lower()
    a, b = _key(mine), _key(other)
    if sign == "~=":
        prefix = _release(other)[:-1]
        return a >= b and a[0] == b[0] and _release(mine, len(prefix)) == prefix
    return {
        ">=": a >= b,
        "<=": a <= b,
        ">": a > b,
        "<": a < b,
        "==": a == b,
        "!=": a != b,
    }[sign]


def _match(version: str) -> re.Match[str]:
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"'{version}' is no version")
    return found


def _release(version: str, length: int = 0) -> tuple[int, ...]:
    """Return the numbers of the release, filled up and cut to ``length`` where it is not 0."""
    numbers = tuple(map(int, _match(version)[2].split(".")))
    return (*numbers, *[0] * length)[:length] if length else numbers


def _key(version: str) -> tuple[Any, ...]:
    """Return what sorts versions: 1.0.dev1 < 1.0a1.dev1 < 1.0a1 < 1.0rc1 < 1.0 < 1.0.post1."""
    epoch, release, pre, pre_n, short, post, post_n, dev, dev_n = _match(version).groups()
    numbers = tuple(int(n) for n in re.sub(r"(\.0+)+$", "", release).split("."))
    is_post = short or post
    # Before all others come the development versions of the release itself.
    stage = _PRE.get(pre.lower(), pre.lower()) if pre else "" if dev and not is_post else "z"
    return (
        int(epoch or 0),
        numbers,
        (stage, int(pre_n or 0)),
        int(short or post_n or 0) if is_post else -1,
        int(dev_n or 0) if dev else _LAST,
    )


# --- conditions ---------------------------------------------------------------------------------

_VARIABLES: dict[str, Callable[[], str]] = {
    "extra": lambda: "",  # an extra says what else may be installed, not what is needed
    "implementation_name": lambda: sys.implementation.name,
    "implementation_version": lambda: ".".join(map(str, sys.implementation.version[:3])),
    "os_name": lambda: os.name,
    "platform_machine": platform.machine,
    "platform_python_implementation": platform.python_implementation,
    "platform_release": platform.release,
    "platform_system": platform.system,
    "platform_version": platform.version,
    "python_full_version": platform.python_version,
    "python_version": lambda: ".".join(map(str, sys.version_info[:2])),
    "sys_platform": lambda: sys.platform,
}
_NUMBERS = frozenset({"implementation_version", "python_full_version", "python_version"})
_TOKEN = re.compile(
    r"\s*(\(|\)|and\b|or\b|not\s+in\b|in\b|===|[~=!<>]=|[<>]|'[^']*'|\"[^\"]*\"|\w+)"
)
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def holds(condition: str) -> bool:
    """Whether the condition of a requirement is true here: ``python_version >= "3.11"``.

    Raises:
        ValueError: it does not fit the grammar of the packaging standards.
    """
    tokens = list(_tokens(condition))
    result = _either(tokens)
    if tokens:
        raise ValueError(f"'{condition}' is no condition: what is '{tokens[0]}'?")
    return result


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"'{text}' is no condition: what is '{text[at:].strip()}'?")
        yield " ".join(found[1].split()) if found[1].startswith("not") else found[1]
        at = found.end()


def _either(tokens: list[str]) -> bool:
    result = _all(tokens)
    while tokens and tokens[0] == "or":
        del tokens[0]
        result = _all(tokens) or result
    return result


def _all(tokens: list[str]) -> bool:
    result = _one(tokens)
    while tokens and tokens[0] == "and":
        del tokens[0]
        result = _one(tokens) and result
    return result


def _one(tokens: list[str]) -> bool:
    if tokens and tokens[0] == "(":
        del tokens[0]
        result = _either(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("a condition lacks ')'")
        return result
    if len(tokens) < 3:
        raise ValueError("a condition ends too early")
    left, sign, right = tokens[:3]
    del tokens[:3]
    if left[0] in "'\"" and right[0] not in "'\"":
        left, sign, right = right, _TURNED.get(sign, sign), left
        if sign in ("in", "not in"):
            return _contains(_value(left), sign, _value(right))
    return _holds(left, sign, _value(left), _value(right))


def _value(token: str) -> str:
    if token[0] in "'\"":
        return token[1:-1]
    if token not in _VARIABLES:
        raise ValueError(f"a condition asks for '{token}', which is not known")
    return _VARIABLES[token]()


def _contains(text: str, sign: str, part: str) -> bool:
    return (part in text) is (sign == "in")


def _holds(name: str, sign: str, mine: str, other: str) -> bool:
    if sign in ("in", "not in"):
        return _contains(other, sign, mine)
    if name in _NUMBERS:
        from flow_core.index import satisfies

        return satisfies(mine, sign + other)
    results = {"==": mine == other, "===": mine == other, "!=": mine != other}
    results |= {"<": mine < other, ">": mine > other, "<=": mine <= other, ">=": mine >= other}
    if sign not in results:
        raise ValueError(f"a condition compares '{name}' by '{sign}'")
    return results[sign]
