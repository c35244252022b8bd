"""What goes wrong between a step and its environment, as errors in four parts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flow_core.api import NoEnvironment, near_misses

PROVIDER = "environment provider 'conda'"
_MOST = 8  # lines of an explanation
_FEW = 8  # versions that are listed
_NONE = "No candidates were found for "
_TREE = re.compile(r"^[\s│├└─]*")
_NEEDED = re.compile(r"(\S+) ?(.*?)(?:, (?:for )?which .*| can(?:not)? be installed .*)?$")


def no_solution(text: str, specs: Collection[str], platform: str) -> NoEnvironment:
    """Return the error for packages that do not fit together.

    Args:
        text: what the solver says.
        specs: what was asked for, as conda writes it.
        platform: of the channels: ``linux-64``.
    """
    reasons = list(dict.fromkeys(_reasons(text, specs, platform)))
    if len(reasons) > _MOST:
        reasons = [*reasons[: _MOST - 1], f"… and {len(reasons) - _MOST + 1} more"]
    return NoEnvironment(
        "The packages that the step asks for do not fit together",
        where=PROVIDER,
        why="\n".join(reasons) or " ".join(text.split())[:500],
        hint="leave open the version of one of them",
    )


def _reasons(text: str, specs: Collection[str], platform: str) -> Iterator[str]:
    """Yield the demands that the solver could not bring together, one a line."""
    asked = {spec.rpartition("::")[2].split()[0]: spec for spec in specs}
    parent = ""
    for line in text.splitlines():
        plain = _TREE.sub("", line).removeprefix("Cannot solve the request because of: ")
        if plain.endswith(" would require"):
            parent = _shortened(plain.removesuffix(" would require"))
            continue
        found = _NEEDED.match(plain.rstrip("."))
        name, range_ = (found[1], found[2]) if found else ("", "")
        if parent and found:
            lacks = "no candidates were found" in plain
            wanted = f"{name} {range_}".removesuffix(" *").strip()
            if lacks and name.startswith("__"):
                yield f"{parent} needs {wanted}, which {platform} does not have"
            elif lacks and name not in asked:
                yield f"{parent} needs {wanted}, which is in none of the channels"
            else:
                yield f"{parent} needs {wanted}"
            if lacks and name in asked:
                yield f"the step asks for {asked[name]}"
        elif name in asked and range_ not in ("", "*"):
            yield f"the step asks for {asked[name]}"
        parent = ""


def _shortened(package: str) -> str:
    """``pandas 2.0 … 2.3`` for a list of versions."""
    name, _, versions = package.partition(" ")
    several = versions.split(" | ")
    return package if len(several) < 4 else f"{name} {several[0]} … {several[-1]}"


def lacking(text: str) -> str | None:
    """Return the package of which the solver knows none at all; None where that is not the reason."""
    found = re.search(re.escape(_NONE) + r"(\S+)", text)
    return found[1].rstrip(".").rpartition("::")[2] if found else None


def no_such_package(
    name: str, spec: str, versions: Sequence[str], names: Iterable[str], channels: Sequence[str]
) -> NoEnvironment:
    """Return the error for a package that no channel has, or not in this version.

    Args:
        name: of the package.
        spec: what was asked for.
        versions: those that there are, oldest first.
        names: of all packages that there are; asked where there is no version.
        channels: where it was looked for.
    """
    if name == "python":
        minors = list(dict.fromkeys(".".join(v.split(".")[:2]) for v in versions))
        return NoEnvironment(
            f"There is no '{spec}'",
            where=_in(channels),
            why=f"versions that there are: {few(versions)}" if versions else "there is no Python",
            hint=f"python='{minors[-1]}'" if minors else "choose other channels: channels=[…]",
        )
    if versions:
        exact = re.fullmatch(r"\S+ ==?(\d+(?:\.\d+)*)", spec)
        any_patch = [v for v in versions if exact and v.startswith(f"{exact[1]}.")]
        return NoEnvironment(
            f"No package fits '{spec}'",
            where=_in(channels),
            why=f"versions that there are: {few(versions)}",
            hint=f"any {exact[1]}.x is '{exact[1]}.*'"
            if exact and any_patch
            else "check the version",
        )
    near = near_misses(name, names)
    return NoEnvironment(
        f"There is no package '{name}'",
        where=_in(channels),
        why="none of the channels has a package of this name for this platform",
        hint="did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
        if near
        else "check the name; a package of PyPI only is asked for with @pypi, beside @conda",
    )


def _in(channels: Sequence[str]) -> str:
    return f"channel{'s' if len(channels) != 1 else ''} {', '.join(channels)}"


def few(versions: Sequence[str]) -> str:
    """Return the last versions of a list, as text."""
    return ("…, " if len(versions) > _FEW else "") + ", ".join(versions[-_FEW:])


def unreachable(channel: str, why: str) -> NoEnvironment:
    """Return the error for a channel that does not answer, or is none."""
    lines = [line.removeprefix("Caused by: ") for line in why.splitlines() if line.strip()]
    missing = any(w in why for w in ("404 Not Found", "could not find subdir", "No such file"))
    return NoEnvironment(
        f"There is no channel '{channel}'"
        if missing
        else f"The channel '{channel}' is not reached",
        where=PROVIDER,
        why=lines[-1] if lines else "it does not say why",
        hint="check its name: channels=[…], CONDA_CHANNELS or FLOW_CONDA_CHANNELS"
        if missing
        else "check the network, or build from what is on this machine: FLOW_OFFLINE=1",
    )


def not_known_offline(channel: str) -> NoEnvironment:
    """Return the error for a request that was never solved, where no network may be used."""
    return NoEnvironment(
        "What @conda asks for was not solved yet, and no network may be used",
        where=f"channel {channel}",
        why="the setting 'offline' is on, and what the channel has was not kept on this machine",
        hint="run it once with network: FLOW_OFFLINE=0",
    )


def changed(name: str, url: str, expected: str, found: str) -> NoEnvironment:
    """Return the error for a package that is not the one of the lock."""
    return NoEnvironment(
        f"The package '{name}' is not what it was when the environment was solved",
        where=url,
        why=f"its SHA-256 is {found[:16]}…, and the lock has {expected[:16]}…",
        hint="find out why the channel changed it; FLOW_RELOCK=1 takes what is there now",
    )


def not_fetched(name: str, url: str, why: str) -> NoEnvironment:
    """Return the error for a package that the channel does not give."""
    return NoEnvironment(
        f"The package '{name}' cannot be fetched",
        where=url,
        why=why,
        hint="check the network; with FLOW_MIRROR_PACKAGES=1 packages are kept in the datastore, too",
    )


def missing_offline(names: Sequence[str], folder: str) -> NoEnvironment:
    """Return the error for packages that are not on this machine, where no network may be used."""
    return NoEnvironment(
        "Packages of the environment are not on this machine, and no network may be used",
        where=folder,
        why=f"missing: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}",
        hint="build it once with network: FLOW_OFFLINE=0",
    )


def disk_full(folder: str) -> NoEnvironment:
    """Return the error for a disk on which nothing more fits."""
    return NoEnvironment(
        "The disk is full",
        where=folder,
        why="there is no room for the packages of the environment",
        hint="make room, or put environments elsewhere: FLOW_ENVIRONMENTS=FOLDER",
    )


def is_full(text: str) -> bool:
    """Whether an error says that a disk is full."""
    return any(w in text for w in ("os error 28", "os error 122", "No space left", "Errno 28"))


def no_hash(name: str, url: str) -> NoEnvironment:
    """Return the error for a package that nobody could verify."""
    return NoEnvironment(
        f"The channel states no SHA-256 of '{name}', so that nobody could build the same again",
        where=url,
        why="its index lacks the hash",
        hint="let the channel be indexed anew: conda index",
    )


def too_old(version: str) -> NoEnvironment:
    """Return the error for a Python in which no task runs."""
    return NoEnvironment(
        f"The environment would have Python {version}",
        where=PROVIDER,
        why="tasks need Python 3.10 or later",
        hint="python='3.12'",
    )


def other_platform(platform: str, here: str) -> NoEnvironment:
    """Return the error for a lock of packages that do not run on this machine."""
    return NoEnvironment(
        f"The environment is for {platform}, and this machine is {here}",
        where="the lock",
        why="it was solved for the platform where the step ran",
        hint="solve it for this machine: FLOW_RELOCK=1",
    )


def no_lock(found: object) -> NoEnvironment:
    """Return the error for what is no lock of this provider."""
    return NoEnvironment(
        "This is no lock of the environment provider 'conda'",
        where="the lock",
        why=f"its format is {found!r}, or parts of it are missing",
        hint="solve it anew: FLOW_RELOCK=1; a newer flow-conda may have written it",
    )


def failed(why: str) -> NoEnvironment:
    """Return the error for whatever else happens."""
    lines = [line for line in why.splitlines() if line.strip()]
    return NoEnvironment(
        "The environment cannot be made",
        where=PROVIDER,
        why="\n".join(lines[-_MOST:]) or "it is not known why",
        hint="see what rattler says, which solves and installs packages of conda",
    )


def parts(error: NoEnvironment) -> dict[str, str | None]:
    """Return an error as JSON data, for the launcher."""
    return {"what": error.what, "where": error.where, "why": error.why, "hint": error.hint}


def error_of(data: Mapping[str, str | None]) -> NoEnvironment:
    """Return the error that `parts` was made of."""
    return NoEnvironment(str(data["what"]), where=data["where"], why=data["why"], hint=data["hint"])
