"""Run the tests of each plugin against the oldest flow-core that it claims to work with, and today's.

``python tools/oldest.py`` reads the range of flow-core in each ``plugins/*/pyproject.toml``. Of the releases that are
tagged (``v0.1.0`` or ``0.1.0``), the oldest one in the range is checked out, packed as wheels together with the plugins
of that time, and installed into an environment of its own; there the plugin as it is now takes the place of the old one,
and its tests run. Where no release in the range is tagged, today's flow-core is the oldest that there is.

Exit status 1 when tests fail, or when a range does not hold today's flow-core.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from wheels import build

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORE = "flow-core"
FAILED = "FAILED"
_OUTCOMES = {0: "passed", 5: "no tests"}
_BOUNDS = (">=", "~=", "==", "===")


class Trouble(Exception):
    """Why the job cannot go on, for people."""


class Plugin(NamedTuple):
    """One plugin of the repository.

    Attributes:
        folder: where it is.
        distribution: its name, ``flow-retry``.
        claims: the range of flow-core that it requires.
    """

    folder: Path
    distribution: str
    claims: SpecifierSet


class Release(NamedTuple):
    """A release of flow-core that has a tag."""

    version: Version
    tag: str


class Result(NamedTuple):
    """What came of the tests of one plugin with one flow-core."""

    plugin: Plugin
    core: str
    text: str
    failed: bool


# --- what is claimed, what there is -------------------------------------------------------------


def read_plugins(root: Path, names: Iterable[str] = ()) -> list[Plugin]:
    """Return the plugins of the repository, or those whose folder or distribution is named."""
    found = [_plugin(file) for file in sorted(root.glob("plugins/*/pyproject.toml"))]
    known = {name: p for p in found for name in (p.folder.name, p.distribution)}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise Trouble(f"There is no plugin '{unknown[0]}'; there are: {', '.join(sorted(known))}")
    return [known[name] for name in dict.fromkeys(names)] or found


def _plugin(file: Path) -> Plugin:
    project = _project(file)
    claims = SpecifierSet()
    for text in project.get("dependencies", ()):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == CORE:
            claims &= requirement.specifier
    return Plugin(file.parent, canonicalize_name(project["name"]), claims)


def _project(file: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return project


def today(root: Path) -> Version:
    """Return the version of flow-core that lies in the repository."""
    return Version(_project(root / "core/pyproject.toml")["version"])


def releases(root: Path) -> list[Release]:
    """Return the releases that have a tag, the oldest first. Pre-releases are none."""
    found = []
    for tag in _git(root, "tag", "--list").decode().split():
        try:
            version = Version(tag.removeprefix("v"))
        except InvalidVersion:
            continue  # a tag for something else
        if not version.is_prerelease:
            found.append(Release(version, tag))
    return sorted(found)


def oldest(claims: SpecifierSet, known: Sequence[Release]) -> tuple[Release | None, str]:
    """Return the oldest release in a range, and what has to be said about it.

    None = none of them has a tag: today's flow-core is the oldest that can be had.
    """
    release = next((r for r in known if r.version in claims), None)
    bounds = [Version(s.version.removesuffix(".*")) for s in claims if s.operator in _BOUNDS]
    if not bounds:
        return release, "it states no oldest flow-core"
    if release is None:
        return None, f"{max(bounds)} has no tag: today's flow-core is the oldest there is"
    if release.version != max(bounds):
        return release, f"{max(bounds)} has no tag; the oldest release with one is {release.tag}"
    return release, ""


# --- an environment with an old flow-core -------------------------------------------------------


class Environment:
    """An environment with all distributions as they were at a tag.

    Args:
        root: the repository.
        folder: where the environment is made; what lies there is removed.
        release: the release of flow-core.
        tools: what tests need besides: pytest, …
    """

    def __init__(self, root: Path, folder: Path, release: Release, tools: Sequence[str]) -> None:
        self.python = folder / "bin" / "python"
        self._root = root
        self._wheels = folder / "wheels"
        self._constraints = root / "constraints.txt"
        shutil.rmtree(folder, ignore_errors=True)
        source = folder / "source"
        source.mkdir(parents=True)
        _unpack(_git(root, "archive", "--format=tar", release.tag), source)
        old = [
            source / "core",
            *(f.parent for f in sorted(source.glob("plugins/*/pyproject.toml"))),
        ]
        self._old = _pack(old, self._wheels)
        venv.create(folder, with_pip=True, symlinks=True)
        self._install(*tools, *self._old.values())
        check_core(self.python, release.version, folder / "lib")

    def test(self, plugin: Plugin, arguments: Sequence[str]) -> str:
        """Put a plugin as it is now in the place of the old one, test it, and put the old one back."""
        [wheel] = _pack([plugin.folder], self._wheels / "today").values()
        self._install("--force-reinstall", "--no-deps", wheel)
        self._install(wheel)  # what it requires, if that is not there yet
        outcome = run_tests(self._root, self.python, plugin, arguments)
        self._pip("uninstall", "--yes", plugin.distribution)
        if plugin.distribution in self._old:
            self._install("--no-deps", self._old[plugin.distribution])
        return outcome

    def _install(self, *arguments: str | Path) -> None:
        pins: list[str | Path] = ["-c", self._constraints] if self._constraints.exists() else []
        self._pip("install", "--find-links", self._wheels, *pins, *arguments)

    def _pip(self, *arguments: str | Path) -> None:
        _run(self.python, "-m", "pip", "--disable-pip-version-check", "-q", *arguments)


def _unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.10 has it from 3.10.12 on
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)


def _pack(sources: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Build wheels, and return them by distribution."""
    return {_name(source): build(source, folder) for source in sources}


def _name(source: Path) -> str:
    return canonicalize_name(_project(source / "pyproject.toml")["name"])


# --- running ------------------------------------------------------------------------------------


def check_core(python: Path, version: Version, folder: Path) -> None:
    """Raise `Trouble` unless a Python imports this flow-core, from this folder.

    A test that passes with another flow-core than one believes is worse than none.
    """
    code = "import flow_core; print(flow_core.__version__, flow_core.__file__)"
    found, _, file = _run(python, "-c", code).decode().strip().partition(" ")
    if Version(found) != version or not Path(file).resolve().is_relative_to(folder.resolve()):
        raise Trouble(
            f"{python} imports flow-core {found} from {file}, not {version} from {folder}"
        )


def run_tests(root: Path, python: Path, plugin: Plugin, arguments: Sequence[str]) -> str:
    """Run the tests of a plugin; return what came of it."""
    tests = (plugin.folder / "tests").relative_to(root)
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *arguments,
        tests,
    ]
    done = subprocess.run(command, cwd=root, env=_variables(python), check=False)
    return _OUTCOMES.get(done.returncode, FAILED)


def run(root: Path, plugins: Sequence[Plugin], arguments: argparse.Namespace) -> Iterator[Result]:
    """Test plugins with the oldest flow-core that each claims, and with today's."""
    known, now = releases(root), today(root)
    chosen = {p: oldest(p.claims, known) for p in plugins}
    for release in sorted({release for release, _ in chosen.values() if release is not None}):
        _say(f"== flow-core {release.version}, packed from {release.tag}")
        environment = Environment(root, arguments.work, release, arguments.tool)
        for plugin in [p for p, (its, _) in chosen.items() if its == release]:
            _say(f"-- {plugin.distribution} with flow-core {release.version}")
            outcome = environment.test(plugin, arguments.pytest)
            yield _result(plugin, str(release.version), outcome, chosen[plugin][1])
    if arguments.oldest_only:
        yield from (Result(p, "none", n, failed=False) for p, (its, n) in chosen.items() if not its)
        return
    check_core(Path(sys.executable), now, root / "core")
    for plugin, (tagged, note) in chosen.items():
        _say(f"-- {plugin.distribution} with today's flow-core, {now}")
        if now not in plugin.claims:
            text = f"claims {plugin.claims}, which today's flow-core is not"
            yield Result(plugin, f"{now} (today)", text, failed=True)
            continue
        outcome = run_tests(root, Path(sys.executable), plugin, arguments.pytest)
        yield _result(plugin, f"{now} (today)", outcome, "" if tagged else note)


def _result(plugin: Plugin, core: str, outcome: str, note: str) -> Result:
    text = f"{outcome}; {note}" if note else outcome
    return Result(plugin, core, text, failed=outcome == FAILED)


def _git(root: Path, *arguments: str) -> bytes:
    return _run("git", "-C", root, *arguments)


def _run(*command: str | Path) -> bytes:
    done = subprocess.run(command, env=_variables(command[0]), capture_output=True, check=False)
    if done.returncode:
        told = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Trouble(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{told}")
    return done.stdout


def _variables(program: str | Path) -> dict[str, str]:
    """Return the environment variables for a program: another Python finds nothing of this one."""
    ours = str(program) in (sys.executable, "git")
    hidden = () if ours else ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("plugin", nargs="*", help="folders or distributions; default: all")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--work", type=Path, help="folder of the environment (ROOT/.venv-oldest)")
    parser.add_argument("--tool", action="append", help="what tests need; default: pytest")
    parser.add_argument("--pytest", action="append", default=[], help="an argument for pytest")
    parser.add_argument("--oldest-only", action="store_true", help="leave today's flow-core out")
    arguments = parser.parse_args(given)
    arguments.root = arguments.root.resolve()
    arguments.work = (arguments.work or arguments.root / ".venv-oldest").resolve()
    arguments.tool = arguments.tool or ["pytest"]
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Run the job; return the exit status."""
    arguments = _arguments(given)
    try:
        results = list(
            run(arguments.root, read_plugins(arguments.root, arguments.plugin), arguments)
        )
    except Trouble as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 1
    rows = [(r.plugin.distribution, str(r.plugin.claims), r.core, r.text) for r in results]
    rows = [("plugin", "claims", "flow-core", "tests"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    _say("")
    for row in rows:
        _say("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    return int(any(r.failed for r in results))


if __name__ == "__main__":
    sys.exit(main())
