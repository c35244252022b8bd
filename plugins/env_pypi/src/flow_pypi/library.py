"""What flow-pypi can do for other plugins: resolve packages of PyPI, and install what was resolved.

    text = resolve_on(["pandas==2.2.*"], platform="linux-x86_64", python="3.12", work=work)
    install_into("/envs/a/bin/python", text, work)

`resolve_asked` takes the options of ``@pypi`` as a plan has them. All are stable, and documented in the
README. Since 0.1.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from flow_core.api import (
    CommandFailed,
    EnvironmentWork,
    IntegrityError,
    NoEnvironment,
    StoreError,
    this_platform,
)
from flow_pypi.building import build
from flow_pypi.platforms import uv_platform
from flow_pypi.progress import Fetching
from flow_pypi.project import dependencies_of, lock_beside, locked_by_uv
from flow_pypi.pylock import Package, found_by_uv, read, write
from flow_pypi.pythons import find_python
from flow_pypi.sources import Sources, find_sources, hide
from flow_pypi.trouble import disk_full, explain
from flow_pypi.uv import lines, run_uv
from flow_pypi.wanted import RequirementsFile, listed, normal, read_requirements
from flow_pypi.wheels import Wheels, amount, temporary

__all__ = ["install_into", "requirements_of", "resolve_asked", "resolve_on"]


def requirements_of(options: Mapping[str, object], files: Mapping[str, str]) -> RequirementsFile:
    """Return what the options of ``@pypi`` ask for, as a plan has them, with their requirements file.

    Args:
        options: of the plan: ``{"packages": …, "requirements": …}``.
        files: name → text of the files that the options name.

    Raises:
        NoEnvironment: the file has what is not understood.
    """
    packages = options.get("packages") or ()
    assert isinstance(packages, (Mapping, Sequence))
    own = listed(packages)
    name = str(options.get("requirements") or "")
    if not name:
        return RequirementsFile(tuple(own))
    read_ = read_requirements(files[name], name, files)
    return read_._replace(requirements=(*own, *read_.requirements))


def resolve_asked(
    options: Mapping[str, Any],
    files: Mapping[str, str],
    requirements: Sequence[str] = (),
    *,
    platform: str,
    python: str,
    work: EnvironmentWork,
    interpreter: str | None = None,
    installed: Mapping[str, str] | None = None,
) -> str:
    """Resolve all that the options of ``@pypi`` ask for, with their files; as `resolve_on` otherwise.

    Args:
        options: of the plan: ``packages``, ``requirements``, ``pyproject``, ``index_url``, …
        files: name → text of the files that the options name, and of the ``uv.lock`` beside the
            ``pyproject.toml``, if there is one.
        requirements: further requirement strings.
        platform: see `resolve_on`, as for the others.
        python: see there.
        work: see there.
        interpreter: see there.
        installed: see there.

    Raises:
        NoEnvironment: nothing fits, or no index can be reached, or a file cannot be read.
    """
    asked = requirements_of(options, files)
    given = {
        "index_url": options.get("index_url") or asked.index_url,
        "extra_index_urls": (*options.get("extra_index_urls", ()), *asked.extra_index_urls),
    }
    sources = find_sources(given, work)
    sources = sources._replace(links=(*asked.links, *sources.links))
    wanted = [*asked.requirements, *requirements]
    pyproject = str(options.get("pyproject") or "")
    locked: list[Package] = []
    if pyproject and lock_beside(pyproject) in files:
        work.tell(f"reading {lock_beside(pyproject)}")
        found, paths = locked_by_uv(files, pyproject, platform, python, sources, work)
        there = {normal(name) for name in installed or ()}
        locked = _with_wheels(
            [p for p in found if p.name not in there],
            paths,
            platform=platform,
            python=python,
            interpreter=interpreter,
            sources=sources,
            work=work,
        )
    elif pyproject:
        wanted += dependencies_of(files[pyproject], pyproject, python)
    work.tell(f"resolving {len(wanted)} requirements")
    return resolve_on(
        wanted,
        platform=platform,
        python=python,
        work=work,
        interpreter=interpreter,
        installed=installed,
        constraints=asked.constraints,
        hashes=asked.hashes,
        sources=sources,
        locked=locked,
    )


def resolve_on(
    requirements: Sequence[str],
    *,
    platform: str,
    python: str,
    work: EnvironmentWork,
    options: Mapping[str, object] | None = None,
    interpreter: str | None = None,
    installed: Mapping[str, str] | None = None,
    constraints: Sequence[str] = (),
    hashes: Mapping[str, frozenset[str]] | None = None,
    sources: Sources | None = None,
    locked: Sequence[Package] = (),
) -> str:
    """Let uv find the packages that fit; return them as the text of a ``pylock.toml``.

    The text is the same for the same answers of the index: it has neither times nor paths. Each package
    has one file, with its hash. What has no wheel is built now, once.

    Args:
        requirements: requirement strings; repositories and URLs, too.
        platform: where it will run: ``linux-x86_64``.
        python: version of the Python there, ``3.12``.
        work: see `EnvironmentWork`.
        options: of ``@pypi``: ``index_url``, ``extra_index_urls``; other keys do not count.
        interpreter: a Python of this machine that builds what has no wheel; None = one is looked for
            when it is needed.
        installed: name → version of packages that are there already, by other means. They count, and
            are not part of the result.
        constraints: requirement strings that hold for what is taken, and ask for nothing.
        hashes: name → the SHA-256 hashes of files that may be taken.
        sources: where packages come from; None = as ``options``, settings and uv's and pip's
            configurations say.
        locked: packages that are fixed already: they are part of the result, and only what is
            missing beside them is looked for.

    Raises:
        NoEnvironment: nothing fits, or no index can be reached.
    """
    sources = sources or find_sources(options or {}, work)
    there = {normal(name): version for name, version in (installed or {}).items()}
    there.update({p.name: p.version for p in locked})
    wanted = list(dict.fromkeys(requirements))
    if not wanted:
        return write(locked, python)
    text = _compile(wanted, platform, python, sources, there, constraints, work)
    packages, paths = found_by_uv(text, platform, python)
    found = _with_wheels(
        [p for p in packages if p.name not in there],
        paths,
        platform=platform,
        python=python,
        interpreter=interpreter,
        sources=sources,
        work=work,
    )
    _check_hashes(found, hashes or {})
    return write([*found, *locked], python)


def _with_wheels(
    packages: Sequence[Package],
    paths: Mapping[str, str],
    *,
    platform: str,
    python: str,
    interpreter: str | None,
    sources: Sources,
    work: EnvironmentWork,
) -> list[Package]:
    """Return packages with wheels: build what has none, keep what only this machine has."""
    found = [
        p
        if p.file
        else build(p, interpreter or find_python(python, work).path, platform, sources, work)
        for p in packages
    ]
    _take(found, paths, sources, work)
    return found


def _compile(
    wanted: Sequence[str],
    platform: str,
    python: str,
    sources: Sources,
    there: Mapping[str, str],
    constraints: Sequence[str],
    work: EnvironmentWork,
) -> str:
    with temporary(work) as folder:
        odd = {name for name, version in there.items() if not _is_version(version)}
        stubs = [_stub(folder, n, version) for n, version in sorted(there.items()) if n not in odd]
        given = {"wanted.in": wanted, "limits.txt": [*stubs, *constraints], "odd.txt": sorted(odd)}
        for name, texts in given.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(lines(texts))
        words = ["pip", "compile", "--format", "pylock.toml", "--no-header", "--no-annotate"]
        words += ["--python", sys.executable, "--python-version", python]
        words += ["--python-platform", uv_platform(platform)]
        words += ["--constraints", os.path.join(folder, "limits.txt")]
        if odd:  # whatever they are, they are there
            words += ["--excludes", os.path.join(folder, "odd.txt")]
        try:
            return run_uv(work, [*words, os.path.join(folder, "wanted.in")], sources)
        except CommandFailed as error:
            raise explain(error, sources, there=there) from None


def _is_version(text: str) -> bool:
    """Whether a version is one for PyPI: those of other places may be anything, ``1.1.1w``."""
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _stub(folder: str, name: str, version: str) -> str:
    """Write a wheel that says only that it is there; return the constraint that takes it.

    uv then sees whether the version that is there is one that others allow, whatever indexes have.
    """
    base = f"{name.replace('-', '_')}-{version}"
    path = os.path.join(folder, f"{base}-py3-none-any.whl")
    info = f"{base}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", head)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name} @ file://{path}"


def _check_hashes(packages: Sequence[Package], hashes: Mapping[str, frozenset[str]]) -> None:
    for package in packages:
        allowed = hashes.get(package.name)
        sources = {str(s.get("sha256")) for s in package.source.values()}
        if allowed and not allowed & {package.sha256, *sources}:
            raise NoEnvironment(
                f"'{package.name} {package.version}' has another hash than the requirements file says",
                where=hide(package.url) or "environment provider 'pypi'",
                why=f"its SHA-256 is {package.sha256[:16]}…",
                hint="find out why it is another one; correct the --hash of the requirements file",
            )


def _take(
    packages: Sequence[Package], paths: Mapping[str, str], sources: Sources, work: EnvironmentWork
) -> None:
    """Put files of this machine into the cache, and those which nobody else has into the mirror."""
    wheels = Wheels(work, sources)
    own = [p for p in packages if not p.url]
    for package in own:
        path = paths.get(package.name, "")
        if not wheels.has(package) and os.path.isfile(path):
            wheels.take(package, path)
        elif wheels.find([package]):
            raise _lost(package, sources)
    wheels.keep([p for p in own if p.direct or p.source])


def install_into(
    python: str,
    pylock: str,
    work: EnvironmentWork,
    *,
    options: Mapping[str, object] | None = None,
    sources: Sources | None = None,
) -> None:
    """Install what `resolve_on` has found; what is there already stays.

    Each file is verified by its hash. It comes from the cache, then from the mirror in the datastore
    (setting ``mirror_packages``, or where the index fails), then from where it was found.

    Args:
        python: path of the Python into whose environment it is installed.
        pylock: the text.
        work: see `EnvironmentWork`; ``offline`` counts.
        options: as for `resolve_on`.
        sources: as for `resolve_on`.

    Raises:
        NoEnvironment: something is missing, or is not what it was.
    """
    try:
        packages = read(pylock)
    except (ValueError, KeyError, TypeError, StopIteration, IndexError) as error:
        raise NoEnvironment(
            "This is no pylock.toml of flow-pypi",
            where="the lock",
            why=f"{type(error).__name__}: {error}",
            hint="resolve it anew: FLOW_RELOCK=1; a newer flow-pypi may have written it",
        ) from None
    if not packages:
        return
    sources = sources or find_sources(options or {}, work)
    try:
        _install(python, packages, sources, work)
    except OSError as error:
        if error.errno in (28, 122):
            raise disk_full(error, work.cache) from None
        raise


def _install(
    python: str, packages: Sequence[Package], sources: Sources, work: EnvironmentWork
) -> None:
    wheels = Wheels(work, sources)
    local = [p for p in packages if not p.url]
    _make_good(wheels, wheels.find(local), python, sources, work)
    if work.mirror is not None and work.setting("mirror_packages"):
        local = list(packages)
        missing = wheels.find(local)
        if missing and work.offline:
            raise _not_here(missing, work)
        if missing:
            wheels.fetch(missing)
        wheels.keep(local)
    try:
        _sync(python, packages, wheels, local, sources, work)
    except NoEnvironment as error:
        if work.mirror is None or len(local) == len(packages):
            raise
        work.tell("asking the mirror")
        try:
            missing = wheels.find(packages)
        except IntegrityError:  # somebody must know of that
            raise
        except StoreError:  # it cannot be reached either
            raise error from None
        if missing:
            raise error from None
        _sync(python, packages, wheels, packages, sources, work)


def _make_good(
    wheels: Wheels,
    missing: Sequence[Package],
    python: str,
    sources: Sources,
    work: EnvironmentWork,
) -> None:
    """Build again what is not at hand, and was built; and tell what cannot be."""
    for package in missing:
        if not package.source:
            raise _lost(package, sources)
        if work.offline:
            raise _not_here([package], work)
        build(package, python, this_platform(), sources, work)
    wheels.keep([p for p in missing if p.source])


def _lost(package: Package, sources: Sources) -> NoEnvironment:
    return NoEnvironment(
        f"'{package.file}' is not on this machine",
        where=", ".join(sources.folders()) or "environment provider 'pypi'",
        why="it is a wheel of the machine where the environment was resolved, and no index has it",
        hint="put it into a folder, and name that: FLOW_PYPI_FIND_LINKS=FOLDER",
    )


def _not_here(missing: Sequence[Package], work: EnvironmentWork) -> NoEnvironment:
    names = ", ".join(f"{p.name} {p.version}" for p in missing[:5])
    return NoEnvironment(
        "Packages of the environment are not on this machine, and no network may be used",
        where=work.cache,
        why=f"missing: {names}{', …' if len(missing) > 5 else ''}",
        hint="build it once with network: FLOW_OFFLINE=0",
    )


def _sync(
    python: str,
    packages: Sequence[Package],
    wheels: Wheels,
    local: Sequence[Package],
    sources: Sources,
    work: EnvironmentWork,
) -> None:
    count, size = len(packages), sum(p.size for p in packages)
    what = f"installing {count} package{'s' if count != 1 else ''}"
    begun = 0.5 if len(local) == count else 0.1
    work.tell(f"{what}, {amount(size)}" if size else what, begun)
    with temporary(work) as folder:
        path = os.path.join(folder, "pylock.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(write(packages, local={p.name: wheels.path(p) for p in local}))
        words = ["pip", "install", "--preview-features", "pylock", "--python", python]
        words += ["--no-deps", "--requirement", path]
        # Each file is named by its place: folders with wheels, which may be gone, are not asked.
        named = sources._replace(links=(), no_index=False)
        try:
            run_uv(work, words, named, heard=Fetching(packages, work, begun))
        except CommandFailed as error:
            raise explain(error, sources) from None
