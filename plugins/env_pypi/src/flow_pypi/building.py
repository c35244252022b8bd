"""Wheels that are made of sources: of repositories at one commit, and of source distributions.

A wheel is built once. The lock has its hash, so that what is built elsewhere is the same, or refused.
"""

from __future__ import annotations

import os
import threading
import zipfile
from typing import Any

from flow_core.api import CommandFailed, EnvironmentWork, NoEnvironment, this_platform
from flow_pypi.pylock import Package, load
from flow_pypi.sources import Sources, hide
from flow_pypi.trouble import changed, explain
from flow_pypi.uv import lines, run_uv
from flow_pypi.wheels import Wheels, download, sha256_of, temporary

_EPOCH = "315619200"  # 1980-01-02: the times of files in wheels, which may not be older
_BACKEND = ("setuptools>=40.8",)  # of sources that name none


def build(
    package: Package, python: str, platform: str, sources: Sources, work: EnvironmentWork
) -> Package:
    """Build the wheel of a package, and put it into the cache; return the package with its wheel.

    Args:
        package: has a source. Where it has a hash, the wheel must be the same.
        python: path of the Python that builds it.
        platform: where it must run.

    Raises:
        NoEnvironment: it cannot be built, or is another one.
    """
    work.tell(f"building {package.name} {package.version}".strip())
    with temporary(work) as folder:
        source = _source(package, folder, sources, work)
        pinned = package.build or _build_requirements(package, source, python, sources, work)
        wheel = _wheel(package, source, pinned, folder, python, sources, work)
        name, new = os.path.basename(wheel), os.path.join(folder, "packed.whl")
        if platform != this_platform() and not name.endswith("-none-any.whl"):
            raise NoEnvironment(
                f"'{package.name} {package.version}' has no wheel for {platform}",
                where=_place(package),
                why=f"there are only its sources, and what {this_platform()} builds of them runs there "
                f"only: {name}",
                hint="ask for a version that has wheels, or start the run on that platform",
            )
        _pack(wheel, new)
        found = package._replace(
            version=package.version or name.split("-")[1],
            file=name,
            sha256=sha256_of(new),
            size=os.path.getsize(new),
            build=pinned,
        )
        if package.sha256 and found.sha256 != package.sha256:
            error = changed(
                f"{package.name} {package.version}", package.sha256, found.sha256, _place(package)
            )
            error.what = f"'{package.name} {package.version}' was built anew, and is not the same"
            error.hint = (
                "build it where it was built before: with FLOW_MIRROR_PACKAGES=1 the datastore keeps "
                "it; FLOW_RELOCK=1 takes the new one"
            )
            raise error
        Wheels(work, sources).take(found, new)
    return found


def _place(package: Package) -> str:
    source: dict[str, Any] = next(({**s} for s in package.source.values()), {})
    return hide(str(source.get("url") or source.get("path") or ""))


def _source(package: Package, folder: str, sources: Sources, work: EnvironmentWork) -> str:
    """Fetch the source; return the path of its folder or archive."""
    (kind, source), *_ = package.source.items()
    if kind == "vcs":
        return _checkout(package, source, os.path.join(folder, "source"), work)
    name = os.path.basename(str(source.get("url") or source["path"]).partition("#")[0])
    path = os.path.join(folder, name)
    if source.get("local"):
        path = source["local"]
    elif source.get("url"):
        download(source["url"], path, sources, threading.Event())
    else:
        found = (os.path.join(place, name) for place in sources.folders())
        path = next((p for p in found if os.path.isfile(p)), "")
        if not path:
            raise NoEnvironment(
                f"The source of '{package.name} {package.version}' is not on this machine",
                where=name,
                why="it is a file of the machine where the environment was resolved",
                hint="put it into a folder, and name that: FLOW_PYPI_FIND_LINKS=FOLDER",
            )
    digest = sha256_of(path)
    if digest != source["sha256"]:
        raise changed(
            f"{package.name} {package.version}", source["sha256"], digest, _place(package)
        )
    return path


def _checkout(package: Package, source: Any, folder: str, work: EnvironmentWork) -> str:
    url, commit = source["url"], source["commit-id"]
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    try:
        work.run(["git", "init", "--quiet", folder], variables=quiet)
        git = ["git", "-C", folder]
        try:
            work.run([*git, "fetch", "--quiet", "--depth=1", url, commit], variables=quiet)
        except CommandFailed:  # a server that gives branches and tags only
            names = "+refs/*:refs/remotes/all/*"
            work.run([*git, "fetch", "--quiet", url, names], variables=quiet)
        work.run([*git, "checkout", "--quiet", "--detach", commit], variables=quiet)
        if os.path.exists(os.path.join(folder, ".gitmodules")):
            work.run(
                [*git, "submodule", "--quiet", "update", "--init", "--recursive"], variables=quiet
            )
    except CommandFailed as error:
        raise NoEnvironment(
            f"Commit {commit[:12]} of '{package.name}' cannot be had",
            where=hide(url),
            why=hide(error.why or error.what),
            hint="check that git reaches the repository, and that the commit is still there",
        ) from None
    return os.path.join(folder, source.get("subdirectory", ""))


def _build_requirements(
    package: Package, source: str, python: str, sources: Sources, work: EnvironmentWork
) -> tuple[str, ...]:
    """Return what the build of a source needs, pinned, so that it is built with the same again."""
    system = _build_system(source)
    wanted = tuple(system.get("requires", _BACKEND if "build-backend" not in system else ()))
    if not wanted:
        return ()
    with temporary(work) as folder:
        file = os.path.join(folder, "build.in")
        with open(file, "w", encoding="utf-8") as out:
            out.write(lines(wanted))
        words = ["pip", "compile", "--no-header", "--no-annotate", "--python", python, file]
        try:
            pins = run_uv(work, words, sources)
        except CommandFailed as error:
            raise explain(error, sources, place=f"the build of {package.name}") from None
    return tuple(sorted(line.strip() for line in pins.splitlines() if line.strip()))


def _build_system(source: str) -> dict[str, Any]:
    """Return the table ``[build-system]`` of a folder or an archive."""
    import tarfile

    text = ""
    if os.path.isdir(source):
        path = os.path.join(source, "pyproject.toml")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if name.count("/") == 1 and name.endswith("/pyproject.toml"):
                    text = archive.read(name).decode()
    else:
        with tarfile.open(source) as tar:
            for member in tar:
                if member.name.count("/") == 1 and member.name.endswith("/pyproject.toml"):
                    content = tar.extractfile(member)
                    text = content.read().decode() if content else ""
    found = load(text).get("build-system", {})
    return dict(found)


def _wheel(
    package: Package,
    source: str,
    pinned: tuple[str, ...],
    folder: str,
    python: str,
    sources: Sources,
    work: EnvironmentWork,
) -> str:
    out, constraints = os.path.join(folder, "out"), os.path.join(folder, "build.txt")
    with open(constraints, "w", encoding="utf-8") as file:
        file.write(lines(pinned))
    words = ["build", "--wheel", "--no-config", "--no-build-logs", "--python", python]
    words += ["--build-constraints", constraints, "--out-dir", out, source]
    fixed = {"SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "0"}
    try:
        run_uv(work, words, sources, variables=fixed)
    except CommandFailed as error:
        raise explain(error, sources, place=f"the build of {package.name}") from None
    return next(
        os.path.join(out, name) for name in sorted(os.listdir(out)) if name.endswith(".whl")
    )


def _pack(wheel: str, new: str) -> None:
    """Write a wheel again so that its bytes hang on what is in it only."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(new, "w") as archive:
        for entry in sorted(old.infolist(), key=lambda e: e.filename):
            if entry.is_dir():
                continue
            fixed = zipfile.ZipInfo(entry.filename)  # 1980, and not compressed: zlibs differ
            executable = (entry.external_attr >> 16) & 0o111
            fixed.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(fixed, old.read(entry))
