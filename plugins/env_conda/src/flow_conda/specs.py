"""What people write: packages as names with versions, and as texts; ``environment.yml``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flow_core.api import DefinitionError, NoEnvironment, near_misses

_SPEC = re.compile(
    r"\s*(?:(?P<channel>[^\s:]+(?:://\S+?)?)::)?"
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<version>\S.*?|\[.*\])?\s*",
)
_VERSION = re.compile(r"[0-9A-Za-z_.*!+<>=~|,()\s\[\]'\"-]*")
_SECRET = re.compile(r"://[^/]*@|://[^/]+/t/[^/]+")
_PYTHON = re.compile(r"3(\.\d+){1,2}(\.\*)?|[<>=!~].*")


class Spec(NamedTuple):
    """One package that is asked for.

    Attributes:
        name: lower-case.
        version: what comes behind the name: ``2.2.*``, ``>=2,<3``, ``1.0 py311_0``; ``""`` = any.
        channel: where it must come from; ``""`` = any of the channels.
    """

    name: str
    version: str = ""
    channel: str = ""

    @property
    def text(self) -> str:
        """As conda writes it: ``conda-forge::pandas 2.2.*``."""
        package = f"{self.name} {self.version}".rstrip()
        return f"{self.channel}::{package}" if self.channel else package


def read_specs(packages: Mapping[str, str] | Sequence[str]) -> dict[str, Spec]:
    """Return what an option ``packages`` asks for, by name.

    Raises:
        DefinitionError: one is no package, or comes twice.
    """
    texts = (
        [f"{name} {_version(version)}" for name, version in packages.items()]
        if isinstance(packages, Mapping)
        else packages
    )
    found: dict[str, Spec] = {}
    for text in texts:
        spec = read_spec(text)
        if spec.name in found:
            raise DefinitionError(
                f"The package '{spec.name}' is asked for twice",
                why=f"'{found[spec.name].text}' and '{spec.text}'",
                hint=f"write it once: '{spec.name} >=2,<3' may have several conditions",
            )
        found[spec.name] = spec
    return found


def read_spec(text: str) -> Spec:
    """Return one package: ``pandas``, ``pandas 2.2.*``, ``pandas>=2,<3``, ``conda-forge::pandas=2.2``.

    Raises:
        DefinitionError: it is none.
    """
    matched = _SPEC.fullmatch(text)
    version = (matched["version"] or "") if matched else ""
    if matched is None or not _VERSION.fullmatch(version):
        raise DefinitionError(
            f"'{text.strip()}' is no package for conda",
            why="it must be a name, and a version behind it where that counts",
            hint="'pandas', 'pandas 2.2.*', 'pandas >=2,<3', or 'conda-forge::pandas 2.2.*'",
        )
    channel = matched["channel"] or ""
    check_channel(channel)
    return Spec(matched["name"].lower(), version.strip(), channel)


def _version(text: str) -> str:
    return "" if text.strip() in ("", "*") else text


def check_python(version: str) -> None:
    """Raise `DefinitionError` unless it is a version of Python, or empty."""
    if version and not _PYTHON.fullmatch(version):
        raise DefinitionError(
            f"Option 'python' must be a version like '3.12', not {version!r}", hint="python='3.12'"
        )


def python_spec(version: str) -> Spec:
    """Return the package for an option ``python``: ``3.12`` means any ``3.12.x``."""
    plain = re.fullmatch(r"3(\.\d+)?", version)
    return Spec("python", f"{version}.*" if plain else version)


# --- environment.yml ----------------------------------------------------------------------------


def check_channel(channel: str) -> None:
    """Raise `DefinitionError` for a channel with a password or a token in its URL."""
    if _SECRET.search(channel):
        raise DefinitionError(
            "A password does not belong into the flow: it would be stored with each run",
            why="the URL of a channel has one, or a token",
            hint="name that channel by FLOW_CONDA_CHANNELS, or let rattler keep the password: "
            "rattler auth login",
        )


_KEYS = dict.fromkeys(("name", "channels", "dependencies", "prefix"))


class EnvironmentFile(NamedTuple):
    """What an ``environment.yml`` asks for; its name and prefix mean nothing here.

    Attributes:
        packages: of conda, by name.
        channels: in order.
        pip: requirements as pip takes them.
    """

    packages: Mapping[str, Spec]
    channels: tuple[str, ...]
    pip: tuple[str, ...]


def is_conda_lock(text: str) -> bool:
    """Whether the text of a file is a ``conda-lock.yml`` rather than an ``environment.yml``."""
    return all(
        re.search(rf"^{key}:", text, re.MULTILINE) for key in ("version", "metadata", "package")
    )


def read_environment_file(text: str, name: str) -> EnvironmentFile:
    """Return what an ``environment.yml`` asks for.

    Args:
        text: of the file.
        name: of the file, for errors.

    Raises:
        NoEnvironment: it is none, or says what cannot be had here.
    """
    import yaml

    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise _wrong_file(name, "it is no YAML: " + " ".join(str(error).split())) from None
    if not isinstance(data, dict):
        raise _wrong_file(name, "it is no mapping with 'dependencies'")
    unknown = sorted(map(str, {*data} - {*_KEYS}))
    if unknown:
        raise _wrong_file(name, f"'{unknown[0]}' is not known here", _meant(unknown[0]))
    channels = _texts(data.get("channels"), "channels", name)
    plain: list[str] = []
    pip: list[str] = []
    for entry in _list(data.get("dependencies"), "dependencies", name):
        if isinstance(entry, dict) and {*entry} == {"pip"}:
            pip += _texts(entry["pip"], "pip", name)
        elif isinstance(entry, str):
            plain.append(entry)
        else:
            raise _wrong_file(name, f"{entry!r} is neither a package nor 'pip:' with requirements")
    for line in pip:
        if line.startswith("-"):
            raise _wrong_file(
                name,
                f"'{line}' is an option of pip, not a requirement",
                "write the requirements themselves; or beside @conda: @pypi(requirements=…), whose file "
                "may have such lines",
            )
    try:
        packages = read_specs(plain)
        for channel in channels:
            check_channel(channel)
    except DefinitionError as error:
        raise _wrong_file(name, f"{error.what}") from None
    if "pip" in packages and not packages["pip"].version:
        # conda wants it named for the section `pip:`; nothing here needs it.
        packages = {n: s for n, s in packages.items() if n != "pip"} if pip else packages
    return EnvironmentFile(packages, tuple(c for c in channels if c != "nodefaults"), tuple(pip))


def _list(value: Any, key: str, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong_file(name, f"'{key}' is no list")
    return value


def _texts(value: Any, key: str, name: str) -> list[str]:
    found = _list(value, key, name)
    wrong = next((one for one in found if not isinstance(one, str)), None)
    if wrong is not None:
        raise _wrong_file(name, f"{wrong!r} in '{key}' is no text")
    return found


def _meant(key: str) -> str:
    if key == "variables":
        return "leave it out; variables of a step: @environment(vars={…})"
    near = near_misses(key, _KEYS)
    return f"did you mean '{near[0]}'?" if near else f"leave it out; keys are {', '.join(_KEYS)}"


def _wrong_file(name: str, why: str, hint: str = "") -> NoEnvironment:
    return NoEnvironment(
        f"'{name}' is no environment of conda",
        where=name,
        why=why,
        hint=hint
        or "it has 'channels:' and 'dependencies:', lists of names; 'conda env export' writes such files",
    )
