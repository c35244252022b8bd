"""What pip says when it fails, as errors in four parts."""

from __future__ import annotations

import re

from flow_core.api import CommandFailed, NoEnvironment

_MOST = 12  # lines of pip's explanation
_CLASH = re.compile(r"\s+(?:The user requested .+|\S+ \S+ depends on .+)")
_NONE_FITS = re.compile(r"No matching distribution found for (.+)")
_VERSIONS = re.compile(r"Could not find a version that satisfies .*\(from versions: (.*)\)")


def explain(error: CommandFailed) -> NoEnvironment:
    """Return the error that tells a person why pip failed, and what to do."""
    output = error.output
    if "No module named pip" in output:
        return NoEnvironment(
            "@venv needs pip, which this Python does not have",
            where=error.command[0],
            why="No module named pip",
            hint="python -m ensurepip",
        )
    lines = [line for line in output.splitlines() if not line.startswith("WARNING")]
    none_fits = _NONE_FITS.search(output)
    if "ResolutionImpossible" in output:
        clash = [line.strip() for line in lines if _CLASH.fullmatch(line)]
        return NoEnvironment(
            "The packages that the step asks for do not fit together",
            where="environment provider 'venv'",
            why="\n".join(clash[:_MOST]) or _last(lines),
            hint="leave open the version of one of them",
        )
    if none_fits:
        known = _VERSIONS.search(output)
        versions = known[1] if known else ""
        return NoEnvironment(
            f"No package fits '{none_fits[1].strip()}'",
            where="environment provider 'venv'",
            why=f"versions that there are: {_few(versions)}"
            if versions and versions != "none"
            else "the index has no package of this name, or no wheel of it for this Python",
            hint="check name and version; @venv installs wheels only: "
            "a folder with yours is FLOW_VENV_WHEELS",
        )
    if "HASHES" in output.upper() and "DO NOT MATCH" in output.upper():
        return NoEnvironment(
            "A package is not what it was when the environment was resolved",
            where="environment provider 'venv'",
            why=_last([line for line in lines if line.strip()]),
            hint="find out why it was changed; FLOW_RELOCK=1 takes what is there now",
        )
    return NoEnvironment(
        "The environment cannot be made",
        where=error.where,
        why=_last(lines) or error.what,
        hint="see what pip says; the index is that of pip, or FLOW_VENV_INDEX",
    )


def _last(lines: list[str]) -> str:
    return "\n".join(line.removeprefix("ERROR: ") for line in lines[-_MOST:])


def _few(versions: str) -> str:
    found = versions.split(", ")
    return versions if len(found) <= 8 else "…, " + ", ".join(found[-8:])
