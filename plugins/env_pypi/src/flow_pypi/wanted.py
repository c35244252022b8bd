"""What people ask for, as requirement strings: packages by name, lists, requirements files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flow_core.api import DefinitionError, NoEnvironment

_URL = re.compile(r"(?:git\+)?(?:https?|ssh|file|git)(?:\+\w+)?://|git\+|file:")
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*")
_VERSION = re.compile(r"\d[\w.!+*-]*")
_REST = re.compile(
    r"\s*(?:@\s*\S.*|\(?\s*(?:(?:===|[<>=!~]=|[<>])\s*[\w.!+*-]+\s*,?\s*)*\)?\s*(?:;.*)?)"
)
_OPTION = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links)[ =]+(\S+)$")


class RequirementsFile(NamedTuple):
    """What a requirements file says.

    Attributes:
        requirements: requirement strings, without hashes.
        hashes: name → the SHA-256 hashes that are allowed for it.
        index_url: of its option ``--index-url``; ``''`` = none.
        extra_index_urls: of ``--extra-index-url``.
        links: of ``--find-links``.
    """

    requirements: tuple[str, ...]
    hashes: Mapping[str, frozenset[str]] = {}
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def normal(name: str) -> str:
    """Return the one form of a distribution's name: ``Ruamel_yaml`` → ``ruamel-yaml``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Return the normal name in a requirement; of a bare URL, the URL."""
    if _URL.match(requirement.strip()):
        return requirement.strip()
    found = _NAME.match(requirement)
    return normal(found[1]) if found else requirement.strip()


def listed(packages: Mapping[str, str] | Sequence[str]) -> list[str]:
    """Return the requirements for ``{"pandas": "2.2.*"}``, or for a list of requirements.

    Raises:
        DefinitionError: one is no requirement.
    """
    if isinstance(packages, Mapping):
        return [_requirement(name.strip(), version.strip()) for name, version in packages.items()]
    return [_checked(text.strip()) for text in packages]


def by_name(packages: Mapping[str, str] | Sequence[str]) -> dict[str, list[str]]:
    """Return the requirements by the normal names of their packages: several, where markers say
    which of them counts."""
    found: dict[str, list[str]] = {}
    for text in listed(packages):
        found.setdefault(name_of(text), []).append(text)
    return found


def check_no_password(url: str) -> None:
    """Refuse the URL of an index or a package that has a password.

    Raises:
        DefinitionError: it has.
    """
    # A user of https alone is a token as often as not.
    if re.match(r"\s*[\w+]+://[^/\s@:]*:[^/\s@]*@|\s*(?:\w+\+)?https?://[^/\s@]+@", url):
        raise DefinitionError(
            "A password does not belong into the flow: it would be stored with each run",
            why="a URL has one, or a user, which may be a token",
            hint="name the index by FLOW_PYPI_INDEX, or let uv find the password: in ~/.netrc, or "
            "in a keyring (UV_KEYRING_PROVIDER=subprocess)",
        )


def _requirement(name: str, version: str) -> str:
    if _URL.match(name):  # Metaflow's form for repositories: {"git+https://…": "@main"}
        at = "" if version.startswith("@") or not version else "@"
        return _checked(f"{name}{at}{version}")
    if version in ("", "*"):
        return _checked(name)
    if _URL.match(version):
        return _checked(f"{name} @ {version}")
    if version.startswith("@"):
        return _checked(f"{name} @ {version[1:].strip()}")
    if _VERSION.fullmatch(version):
        return _checked(f"{name}=={version}")
    if not version.startswith(("<", ">", "=", "!", "~", ";")):
        raise DefinitionError(
            f"{version!r} is no version of '{name}'",
            why="it begins neither with a digit nor with an operator",
            hint="packages={'pandas': '2.2.*'}; a version is '2.2.1', '2.2.*', '>=2,<3', '' for any",
        )
    return _checked(f"{name}{version}")


def _checked(text: str) -> str:
    # Each task reads the flow's file: a library that knows all of the grammar would cost it more
    # than this. uv says what else is wrong.
    check_no_password(text.partition("@ ")[2] or text)
    if _URL.match(text):
        return text
    found = _NAME.match(text)
    if found is None or not _REST.fullmatch(text[found.end() :]):
        raise DefinitionError(
            f"'{text}' is no requirement",
            why="it is no name of a package, or what follows the name is no version",
            hint="packages={'pandas': '2.2.*'}; a version is '2.2.1', '2.2.*', '>=2,<3', '' for any",
        )
    return text


def read_requirements(text: str, name: str) -> RequirementsFile:
    """Return what a requirements file says.

    Args:
        text: its text.
        name: its name, for errors.

    Raises:
        NoEnvironment: a line is an option which would make the lock depend on more than the file.
    """
    found: list[str] = []
    hashes: dict[str, frozenset[str]] = {}
    options: dict[str, list[str]] = {"i": [], "extra": [], "f": []}
    for number, line in _lines(text):
        option = _OPTION.match(line)
        if option:
            check_no_password(option[2])
            kind = {"-i": "i", "--index-url": "i", "--extra-index-url": "extra"}.get(option[1], "f")
            options[kind].append(option[2])
            continue
        if line.startswith("-"):
            raise NoEnvironment(
                f"The requirements file has an option that is not understood: {line}",
                where=f"{name}:{number}",
                why="a lock may depend on this file only: it has requirements, one a line, and "
                "--index-url, --extra-index-url and --find-links",
                hint="put what the option includes into the file",
            )
        wanted, *digests = re.split(r"\s+--hash[= ]", line)
        check_no_password(wanted.partition("@ ")[2] or wanted)
        found.append(wanted.strip())
        allowed = {d.strip()[7:] for d in digests if d.startswith("sha256:")}
        if allowed:
            hashes[name_of(wanted)] = frozenset(allowed)
    return RequirementsFile(
        tuple(found),
        hashes,
        index_url=(options["i"] or [""])[-1],
        extra_index_urls=tuple(options["extra"]),
        links=tuple(options["f"]),
    )


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines with their numbers: continued ones put together, comments left out."""
    found: list[tuple[int, str]] = []
    begun, so_far = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        begun = begun if so_far else number
        line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
        if line.endswith("\\"):
            so_far += line[:-1] + " "
            continue
        whole = (so_far + line).strip()
        so_far = ""
        if whole:
            found.append((begun, whole))
    return found
