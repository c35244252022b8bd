"""What uv says when it fails, as errors in four parts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from flow_core.api import CommandFailed, NoEnvironment, near_misses
from flow_pypi.sources import Sources, hide
from flow_pypi.wanted import normal

WHERE = "environment provider 'pypi'"
_MOST = 8  # lines of an explanation
_SPEC = r"[\w.-]+(?:\[[\w,.-]+\])?[^\s,]*(?:,[<>=!~][^\s,]*)*"
_BECAUSE = re.compile(r"[Bb]ecause (.*?),? we can conclude that")
_DEPENDS = re.compile(rf"(?:all versions of )?({_SPEC}) depends? on ({_SPEC})")
_YOU = re.compile(rf"you require ({_SPEC})")
_UNKNOWN = re.compile(
    r"([\w.-]+) was not found in the (package registry|provided package locations|cache)"
)
_NONE_FITS = re.compile(rf"there is no version of ({_SPEC})")
_ONLY = re.compile(
    r"only (?:the following versions of )?([\w.-]+\w)((?:[<>=!~]\S*)?) (?:is|are) available"
)
_NO_WHEEL = re.compile(rf"({_SPEC}) has no (?:usable wheels|wheels with a matching ([\w ]+) tag)")
_PYTHON = re.compile(
    r"requested Python version \((\S+)\) does not satisfy (Python\S+?),? and "
    r"(?:all of: |all versions of )?([\w.-]*\w)"
)
_NETWORK = (
    "error sending request",
    "dns error",
    "Connection refused",
    "Connection reset",
    "operation timed out",
    "Request failed after",
    "tunnel error",
)


def explain(
    error: CommandFailed,
    sources: Sources,
    *,
    place: str = "",
    there: Mapping[str, str] | None = None,
) -> NoEnvironment:
    """Return the error that tells a person why uv failed, and what to do.

    Args:
        error: what happened.
        sources: where packages were looked for.
        place: what failed, where it is not the environment as a whole.
        there: name → version of packages that are there by other means.
    """
    text = hide(_joined(error.output))
    where = place or WHERE
    full = _no_space(text)
    if full is not None:
        return full
    if (
        "401 Unauthorized" in text
        or "403 Forbidden" in text
        or "lack of valid authentication" in text
    ):
        return _refused(text, where, sources)
    if "Hash mismatch" in text:
        return _mismatch(text, where)
    if "No solution found" in text:
        return _unsolvable(text, where, sources, there or {})
    if any(word in text for word in _NETWORK):
        return _no_network(text, where, sources)
    if "Network connectivity is disabled" in text or "network was disabled" in text:
        return NoEnvironment(
            "Packages of the environment are not on this machine, and no network may be used",
            where=where,
            why=_missing(text),
            hint="build it once with network: FLOW_OFFLINE=0",
        )
    if "Couldn't parse requirement" in text:
        return NoEnvironment(
            "A requirement cannot be read",
            where=where,
            why=_causes(text).replace(" ^", "").rstrip("^ "),
            hint="packages={'pandas': '2.2.*'}; a version is '2.2.1', '2.2.*', '>=2,<3', '' for any",
        )
    links = re.search(r"Failed to read `--find-links`[^:]*: (.+)", text)
    if links:
        return NoEnvironment(
            f"The folder with wheels '{links[1]}' is not there",
            where=where,
            why=_causes(text),
            hint="set FLOW_PYPI_FIND_LINKS, or find-links of pip, to a folder that is there",
        )
    if "Git operation failed" in text or "failed to fetch" in text:
        named = re.search(r"git\+(\S+?)(@[^\s/@`#]+)?(?:#\S*)?`", text)
        url = named[1] if named else ""
        return NoEnvironment(
            "A repository cannot be read, or has no such branch, tag or commit",
            where=f"{url}{named[2] or ''}" if named else where,
            why=_causes(text).rpartition("--- stderr ")[2],
            hint=f"try it by hand: git ls-remote {url or 'URL'}",
        )
    if "Failed to build" in text or "build backend" in text:
        found = re.search(r"Failed to build [`']([^`']+)", text)
        return NoEnvironment(
            f"'{found[1] if found else 'A package'}' cannot be built from its sources",
            where=where,
            why=_causes(text),
            hint="ask for a version that has a wheel, or install what its build needs",
        )
    return NoEnvironment(
        "The environment cannot be made",
        where=where,
        why=_causes(text) or error.what,
        hint="this is what uv says; where packages come from: FLOW_PYPI_INDEX, UV_* or pip's settings",
    )


def changed(what: str, wanted: str, found: str, where: str) -> NoEnvironment:
    """Return the error for a file that has another hash."""
    return NoEnvironment(
        f"'{what}' is not what it was when the environment was resolved",
        where=hide(where) or WHERE,
        why=f"its SHA-256 is {found[:16]}…, and the lock has {wanted[:16]}…",
        hint="find out why it was changed; FLOW_RELOCK=1 takes what is there now",
    )


def disk_full(error: OSError, folder: str) -> NoEnvironment:
    """Return the error for a disk without space."""
    return NoEnvironment(
        "The disk is full",
        where=str(error.filename or folder),
        why=error.strerror,
        hint="make space: flow env clean removes environments that are not used; or put them on "
        "another disk: FLOW_ENVIRONMENTS=FOLDER",
    )


def _no_space(text: str) -> NoEnvironment | None:
    words = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
    told = [line for line in text.splitlines() if any(word in line for word in words)]
    if not told:
        return None
    # The last one: of two files that it names, the other one is only read.
    *_, (quoted, plain) = [("", ""), *re.findall(r"`(/[^`]+)`|(?<!\w)(/\S+)", told[0])]
    why = "Disk quota exceeded" if "uota" in text else "No space left on device"
    return disk_full(OSError(28, why), (quoted or plain).rstrip(":") or WHERE)


def _refused(text: str, where: str, sources: Sources) -> NoEnvironment:
    url = re.search(r"https?://[^\s)\"]+", text)
    status = re.search(r"\((40[13] \w+)\)|\b(40[13] \w+)", text)
    return NoEnvironment(
        "An index asks for a user and a password, and did not take what it was given",
        where=url[0] if url else where,
        why=f"it answered {status[1] or status[2]}" if status else _causes(text),
        hint="write them into ~/.netrc, into a keyring (UV_KEYRING_PROVIDER=subprocess), or into "
        "the URL of FLOW_PYPI_INDEX",
    )


def _mismatch(text: str, where: str) -> NoEnvironment:
    name = re.search(r"Hash mismatch for [`']([^`']+)", text)
    digests = re.findall(r"sha256:([0-9a-f]{16})", text)
    return NoEnvironment(
        f"'{name[1] if name else 'A package'}' is not what it was when the environment was resolved",
        where=where,
        why=f"its SHA-256 is {digests[-1]}…, and the lock has {digests[0]}…"
        if len(digests) > 1
        else _causes(text),
        hint="find out why it was changed; FLOW_RELOCK=1 takes what is there now",
    )


def _no_network(text: str, where: str, sources: Sources) -> NoEnvironment:
    reasons = [
        r.strip().removeprefix("cause: ")
        for r in text.splitlines()
        if r.strip().startswith("cause:") and "error sending" not in r
    ]
    url = re.search(r"https?://[^\s)\"]+", text)
    return NoEnvironment(
        "The package index cannot be reached",
        where=url[0] if url else where,
        why=(reasons[-1] if reasons else _causes(text))
        + "\nasked: "
        + ", ".join(sources.names() or [WHERE]),
        hint="check the network; another index: FLOW_PYPI_INDEX=URL; without network: FLOW_OFFLINE=1",
    )


# --- no solution ------------------------------------------------------------------------------------


def _unsolvable(text: str, where: str, sources: Sources, there: Mapping[str, str]) -> NoEnvironment:
    facts = _facts(text)
    reason = "\n".join(facts)
    hint = re.search(r"hint: [`']([\w.-]+)[`'] was found on (\S+),? but not at the requested", text)
    if hint:
        return _on_first_index(hint[1], hint[2].rstrip(","), facts, where, sources)
    unknown = _UNKNOWN.search(reason)
    if unknown and unknown[2] == "cache":
        return NoEnvironment(
            "What @pypi asks for was not resolved yet, and no network may be used",
            where=where,
            why=f"'{unknown[1]}' is not in the cache, and the setting 'offline' is on",
            hint="run it once with network: FLOW_OFFLINE=0",
        )
    if unknown:
        return _unknown(unknown[1], reason, where, sources)
    python = _PYTHON.search(reason)
    if python:
        return NoEnvironment(
            f"'{python[3]}' does not run in Python {python[1].lstrip('>=')}",
            where=where,
            why=f"what fits of it needs {python[2]}",
            hint="ask for another Python, python='3.12', or another version of the package",
        )
    wheel = _NO_WHEEL.search(reason)
    if wheel:
        return _no_wheel(wheel[1], wheel[2], text, where)
    clash = _clash(reason, there)
    none, only, you = _NONE_FITS.search(reason), _ONLY.search(reason), _YOU.search(reason)
    if not clash and (none or (only and you)):
        what = none[1] if none else you[1] if you else ""
        why = (
            f"there is only {only[1]}{only[2]}" if only and only[2] else "no index has this version"
        )
        return NoEnvironment(
            f"No package fits '{what}'",
            where=where,
            why=f"{why}\nasked: {', '.join(sources.names())}",
            hint="check the version; wheels of your own: FLOW_PYPI_FIND_LINKS=FOLDER",
        )
    return NoEnvironment(
        clash or "The packages that the step asks for do not fit together",
        where=where,
        why="\n".join(facts[:_MOST]) or _causes(text),
        hint="leave open the version of one of them",
    )


def _unknown(name: str, reason: str, where: str, sources: Sources) -> NoEnvironment:
    near = [n for n in near_misses(name, _known_names(sources)) if n != normal(name)]
    by = next((who for who, what in _DEPENDS.findall(reason) if _bare(what) == name), "")
    needed = f", which '{_bare(by)}' needs" if by else ""
    return NoEnvironment(
        f"There is no package '{name}'{needed}",
        where=where,
        why="asked: " + ", ".join(sources.names()),
        hint="did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
        if near
        else "check its name; another index is FLOW_PYPI_INDEX or pypi_extra_index",
    )


def _known_names(sources: Sources) -> set[str]:
    """Return names of packages: those installed here, and those in folders."""
    from importlib import metadata

    found = {normal(d.metadata["Name"]) for d in metadata.distributions() if d.metadata["Name"]}
    for folder in sources.folders():
        found |= {normal(n.split("-")[0]) for n in os.listdir(folder) if n.endswith(".whl")}
    for url in sources.urls():
        folder = url.removeprefix("file://")
        if os.path.isdir(folder):  # an index of files
            found |= {normal(name) for name in os.listdir(folder)}
    return found


def _on_first_index(
    name: str, index: str, facts: list[str], where: str, sources: Sources
) -> NoEnvironment:
    asked = next((w for w in _YOU.findall("\n".join(facts)) if _bare(w) == name), name)
    only = next(
        (f"there: {n}{v}; " for n, v in _ONLY.findall("\n".join(facts)) if n == name and v), ""
    )
    return NoEnvironment(
        f"No package fits '{asked}'",
        where=where,
        why=f"{only}{index} is the first index that knows '{name}', so others do not count\n"
        f"asked: {', '.join(sources.names())}",
        hint="name the index that has it first, or let all count: "
        "UV_INDEX_STRATEGY=unsafe-best-match",
    )


def _no_wheel(package: str, kind: str | None, text: str, where: str) -> NoEnvironment:
    hint = re.search(r"hint: (.+)", text)
    lacks = {"platform": "the platform", "Python ABI": "the Python"}.get(kind or "", "the Python")
    return NoEnvironment(
        f"'{package.replace('==', ' ')}' has no wheel for {lacks} of the environment",
        where=where,
        why=re.sub(r"[`]", "'", hint[1]) if hint else "its wheels are for others",
        hint="ask for another version of it, or another Python: python='3.12'",
    )


def _clash(reason: str, there: Mapping[str, str]) -> str:
    """Return the two demands that exclude each other, as a sentence; ``''`` if that is not clear."""
    demands: dict[str, list[tuple[str, str]]] = {}  # package → (who, what)
    for who, what in _DEPENDS.findall(reason):
        demands.setdefault(_bare(what), []).append((f"'{_bare(who)}' needs {what}", what))
    for what in _YOU.findall(reason):
        demands.setdefault(_bare(what), []).append((f"the step asks for {what}", what))
    for name, version in _ONLY.findall(reason):
        if name in there:
            said = f"{name} {there[name]} is there already"
        else:
            said = f"there is only {name}{version}"
        demands.setdefault(name, []).append((said, f"{name}{version}"))
    for name, made in demands.items():
        limits = [said for said, what in made if what != name]
        if len(limits) > 1 and any(said.startswith("'") for said in limits):
            return ", but ".join(limits[:2])
    return ""


def _bare(spec: str) -> str:
    """Return the name in ``tiny<2``."""
    found = re.match(r"[\w.-]*\w", spec)
    return found[0] if found else spec


def _facts(text: str) -> list[str]:
    """Return what uv has found, without what follows from it, a line each."""
    flat = re.sub(r"\{[^}]*\}", "", " ".join(_causes(text).split()))
    return list(dict.fromkeys(_BECAUSE.findall(flat)))


# --- uv's texts -------------------------------------------------------------------------------------


def _joined(output: str) -> str:
    """Return uv's text without warnings, its causes on a line each."""
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("warning:"):
            continue
        continued = (
            line.startswith("         ") and lines and lines[-1].lstrip().startswith("cause:")
        )
        if continued and line.strip():
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    # Other versions of uv mark causes in other ways.
    return "\n".join(re.sub(r"^\s*(?:Caused by|╰─▶|├─▶|cause):? ", "  cause: ", x) for x in lines)


def _causes(text: str) -> str:
    """Return the causes that uv names, or else its last lines."""
    causes = [x.strip()[7:] for x in text.splitlines() if x.strip().startswith("cause: ")]
    others = [x.removeprefix("error: ") for x in text.splitlines() if x.strip()]
    return "\n".join((causes or others)[-_MOST:])


def _missing(text: str) -> str:
    found = re.search(r"Failed to download [`']([^`']+)", text)
    return f"missing: {found[1].replace('==', ' ')}" if found else _causes(text)
