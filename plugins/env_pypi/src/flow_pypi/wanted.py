"""What people ask for, as requirement strings: packages by name, lists, requirements files."""

from __future__ import annotations

import os
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
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[ =]*([^\s:]+)")
_OPTION = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links)[ =]+(\S+)$")


class RequirementsFile(NamedTuple):
    """What a requirements file says.

    Attributes:
        requirements: requirement strings, without hashes.
        hashes: name → the SHA-256 hashes that are allowed for it.
        index_url: of its option ``--index-url``; ``''`` = none.
        extra_index_urls: of ``--extra-index-url``.
        links: of ``--find-links``.
        constraints: requirement strings that ask for nothing, but hold for what is taken: of ``-c``.
    """

    requirements: tuple[str, ...]
    hashes: Mapping[str, frozenset[str]] = {}
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


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


def read_requirements(
    text: str, name: str, files: Mapping[str, str] | None = None
) -> RequirementsFile:
    """Return what a requirements file says, with what it includes by ``-r`` and ``-c``.

    Args:
        text: its text.
        name: its name, for errors; what it includes is named relative to it.
        files: name → text of the files that it includes, see `files_included`.

    Raises:
        NoEnvironment: it includes another file, or a line is an option which would make the lock
            depend on more than files.
    """
    reading = _Reading(files or {})
    reading.read(text, name, reading.wanted)
    return reading.result()


def files_included(folder: str, name: str) -> list[str]:
    """Return the names of the files that a requirements file includes, and that those include.

    Args:
        folder: to which names are relative.
        name: of the requirements file; one that is not there includes nothing.
    """
    found: list[str] = []
    waiting = [name]
    while waiting:
        path = os.path.join(folder, os.path.expanduser(waiting.pop(0)))
        try:
            with open(path, encoding="utf-8") as file:
                lines = _lines(file.read())
        except (OSError, UnicodeDecodeError):
            continue  # who resolves says so
        for _, line in lines:
            included = _INCLUDE.fullmatch(line)
            other = _beside(name, included[2]) if included else name
            if other not in (name, *found):
                found.append(other)
                waiting.append(other)
    return found


def _beside(name: str, other: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(name), other))


class _Reading:
    """Puts together what requirements files say that include each other.

    Args:
        files: name → text of those that are included.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._seen: set[tuple[str, bool]] = set()
        self._hashes: dict[str, frozenset[str]] = {}
        self._options: dict[str, list[str]] = {"i": [], "extra": [], "f": []}
        self.wanted: list[str] = []
        self.limits: list[str] = []

    def read(self, text: str, name: str, into: list[str]) -> None:
        """Read one file, and what it includes; its requirements go into a list of this object."""
        self._seen.add((name, into is self.limits))
        for number, line in _lines(text):
            included = _INCLUDE.fullmatch(line)
            if included:
                limits = included[1].startswith(("-c", "--c"))
                place = f"{name}:{number}"
                self._include(_beside(name, included[2]), place, self.limits if limits else into)
            elif line.startswith("-"):
                self._option(line, f"{name}:{number}")
            else:
                self._requirement(line, into)

    def _include(self, name: str, place: str, into: list[str]) -> None:
        if (name, into is self.limits) in self._seen:
            return
        if name not in self._files:
            raise NoEnvironment(
                f"The file '{name}' cannot be read, which the requirements file includes",
                where=place,
                why="there is no such file: its path is relative to the file that includes it",
                hint="correct the path, or put what it includes into the file",
            )
        self.read(self._files[name], name, into)

    def _option(self, line: str, place: str) -> None:
        option = _OPTION.match(line)
        if option is None:
            raise NoEnvironment(
                f"The requirements file has an option that is not understood: {line}",
                where=place,
                why="a lock may depend on files only: they have requirements, one a line, -r and -c "
                "with other files, and --index-url, --extra-index-url and --find-links",
                hint="make a wheel of the folder, and name that: uv build --wheel FOLDER"
                if line.startswith(("-e", "--editable"))
                else "leave it out",
            )
        check_no_password(option[2])
        kind = {"-i": "i", "--index-url": "i", "--extra-index-url": "extra"}.get(option[1], "f")
        self._options[kind].append(option[2])

    def _requirement(self, line: str, into: list[str]) -> None:
        wanted, *digests = re.split(r"\s+--hash[= ]", line)
        check_no_password(wanted.partition("@ ")[2] or wanted)
        into.append(wanted.strip())
        allowed = {d.strip()[7:] for d in digests if d.startswith("sha256:")}
        if allowed:
            self._hashes[name_of(wanted)] = frozenset(allowed)

    def result(self) -> RequirementsFile:
        """Return all that was read."""
        return RequirementsFile(
            tuple(self.wanted),
            self._hashes,
            index_url=(self._options["i"] or [""])[-1],
            extra_index_urls=tuple(self._options["extra"]),
            links=tuple(self._options["f"]),
            constraints=tuple(self.limits),
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
