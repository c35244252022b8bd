"""Why a value that one step has stored cannot be read in another one: who made it, in which
environment, which one it is read in, and what to add there.

Imported only when that has happened: whoever reads a value pays nothing for it.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flow_core.artifacts import ArtifactStore
from flow_core.context import current
from flow_core.errors import ArtifactError, FlowError
from flow_core.index import normalise
from flow_core.manifests import ManifestReader
from flow_core.records import (
    ArtifactRef,
    InputRef,
    Manifest,
    RunDocument,
    manifest_key,
    run_key,
    unpack_inputs,
)

_MOST = 1000  # manifests that are read in search of who made a value
_MODULE = re.compile(r"on <module '([\w.]+)'|No module named '([\w.]+)'|attribute of '([\w.]+)'")
_VERSION = re.compile(r"v?\d[\w.!+-]*")


class _Side(NamedTuple):
    """A place where a value was made, or is read.

    Attributes:
        who: ``step 'start' (F/1/start/1)``.
        step: name of the step; ``''`` = it is no step.
        provider: its environment provider; ``''`` = none.
        environment: the environment, for people.
        lock: hash of its lock; ``''`` = none.
        python: version of its Python; ``''`` = not known.
        versions: package → version; None = it is not there; missing = not known.
    """

    who: str
    step: str
    provider: str
    environment: str
    lock: str
    python: str
    versions: Mapping[str, str | None]

    def told(self, package: str) -> str:
        facts = [self.environment, f"Python {self.python}" if self.python else ""]
        if package in self.versions:
            version = self.versions[package]
            facts.append(f"{package} {version}" if version else f"without {package}")
        return f"{self.who}: {', '.join(filter(None, facts))}"


def explain_unreadable(
    error: FlowError,
    artifacts: ArtifactStore,
    document: RunDocument,
    name: str,
    ref: ArtifactRef,
    holders: Iterable[InputRef],
) -> FlowError:
    """Return an error that tells both environments, where a value cannot be read back; ``error``
    itself where it was made in the same environment as it is read in.

    Args:
        error: what `ArtifactStore.load` raised.
        artifacts: where the value lies.
        document: the run that it belongs to.
        name: its name in the manifests.
        ref: its reference.
        holders: attempts of the run whose results have it; it was made by one of them, or by one
            before them. Empty for what was given to the run.

    Since 0.1.
    """
    source = error.__cause__ or error
    module = _module_of(source, ref)
    package = _package_of(module)
    maker, run = _maker(artifacts, document, name, ref.hash, holders)
    made = _side_of_maker(artifacts, run, maker, package)
    here = _side_of_reader(document, module, package)
    if (made.lock, _minor(made.python)) == (here.lock, _minor(here.python)):
        return error
    reason = error.why if isinstance(source, FlowError) and error.why else _reason(source)
    found = ArtifactError(
        f"Artifact '{name}' of {made.who} cannot be read in {here.who}",
        where=current.pathspec,
        why=f"{reason}\nmade in {made.told(package)}\nread in {here.told(package)}",
        hint=_hint(made, here, package)
        if not isinstance(source, ArtifactError) or not error.hint
        else error.hint,
    )
    found.__cause__ = error.__cause__
    return found


def version_in(lock: Any, name: str) -> str | None:
    """Return the version that a lock states of a package, whatever form the provider gave it: a
    record with ``name`` and ``version``, a table of versions by name, or a text that has either."""
    return next(_versions_in(lock, normalise(name)), None)


def _versions_in(data: Any, name: str) -> Iterator[str]:
    if isinstance(data, Mapping):
        version = data.get("version")
        if normalise(str(data.get("name", ""))) == name and isinstance(version, str):
            yield version
        for key, value in data.items():
            if normalise(str(key)) == name and isinstance(value, str) and _VERSION.fullmatch(value):
                yield value
            else:
                yield from _versions_in(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _versions_in(value, name)
    elif isinstance(data, str) and "\n" in data:
        spelled = re.sub(r"[-_.]+", "[-_.]", re.escape(name).replace("\\-", "-"))
        pattern = (
            rf"""^[\s-]*name\s*[:=]\s*["']?{spelled}["']?\s*\n\s*version\s*[:=]\s*["']?([^\s"']+)"""
        )
        for match in re.finditer(pattern, data, re.IGNORECASE | re.MULTILINE):
            yield match[1]


# --- which package ------------------------------------------------------------------------------


def _module_of(error: BaseException, ref: ArtifactRef) -> str:
    """Return the module that is lacking, or that is another one than it was; ``''`` = not known."""
    name = getattr(error, "name", None) if isinstance(error, ImportError) else None
    matched = None if name else _MODULE.search(str(error))
    named = name or (next(filter(None, matched.groups())) if matched else "")
    for module in (named, ref.type):
        top = str(module).partition(".")[0]
        if top and top not in sys.stdlib_module_names and top not in ("builtins", "__main__"):
            return top if module is named or "." in str(module) else ""
    return ""


def _package_of(module: str) -> str:
    """Return the distribution that has a module, as far as this interpreter knows; else its name."""
    from importlib_metadata import packages_distributions

    return normalise(packages_distributions().get(module, [module])[0]) if module else ""


# --- both sides ---------------------------------------------------------------------------------


def _maker(
    artifacts: ArtifactStore,
    document: RunDocument,
    name: str,
    digest: str,
    holders: Iterable[InputRef],
) -> tuple[Manifest | None, RunDocument]:
    """Return the first attempt that had the value, and its run; None = it was given to the run."""
    reader, made, waiting = ManifestReader(artifacts.store), None, holders
    left = _MOST
    while left > 0:
        refs = [*itertools.islice(waiting, left)]
        left -= max(1, len(refs))
        keys = [manifest_key(document.flow, document.run, *ref) for ref in refs]
        having = (
            m
            for m in reader.read(keys)
            if m is not None and name in m.artifacts and m.artifacts[name].hash == digest
        )
        found = next(having, None)
        if found is None:
            break
        made, waiting = found, unpack_inputs(found.inputs)
    if made is not None and made.origin:
        return _original(artifacts, made, document)
    return made, document


def _original(
    artifacts: ArtifactStore, manifest: Manifest, document: RunDocument
) -> tuple[Manifest, RunDocument]:
    """Return the attempt of an earlier run whose result was taken over, if it is still there."""
    flow, run, step, task, attempt = str(manifest.origin).split("/")
    key = manifest_key(flow, run, step, int(task), int(attempt))
    found = next(ManifestReader(artifacts.store).read([key]))
    raw = next(iter(artifacts.store.read([run_key(flow, run)])))
    if found is None or raw is None:
        return manifest, document
    return found, RunDocument.decode(raw, run_key(flow, run))


def _side_of_maker(
    artifacts: ArtifactStore, document: RunDocument, maker: Manifest | None, package: str
) -> _Side:
    run = f"{document.flow}/{document.run}"
    python = str(document.info.get("python", ""))
    if maker is None:
        return _Side(f"run {run}", "", "", "the launcher's Python", "", python, {})
    who = f"step '{maker.step}' ({maker.pathspec})"
    found = document.environments.get(maker.step)
    if found is None:
        return _Side(who, maker.step, "", "the launcher's Python", "", python, {})
    try:
        text = artifacts.get_bytes(found["lock"], f"the lock of step '{maker.step}'")
        lock = json.loads(text)
    except FlowError:
        lock = {}  # this is about another error already
    version = version_in(lock, package) if package else None
    return _Side(
        who,
        maker.step,
        found["provider"],
        document.environment_name(maker.step),
        found["lock"],
        version_in(lock, "python") or python,
        {package: version} if version else {},
    )


def _side_of_reader(document: RunDocument, module: str, package: str) -> _Side:
    python = ".".join(map(str, sys.version_info[:3]))
    version = _installed(package) if package else None
    # A module of no distribution may be there, and be another one.
    known = package and (version or module not in sys.modules)
    versions = {package: version} if known else {}
    inside = (current.flow_name, current.run_id) == (document.flow, document.run)
    if not inside:
        return _Side("this Python", "", "", sys.prefix, "", python, versions)
    step = str(current.step_name)
    found = document.environments.get(step, {"provider": "", "lock": ""})
    local = document.environment_name(step) if found["lock"] else "the launcher's Python"
    who = f"step '{step}' ({current.pathspec})"
    return _Side(who, step, found["provider"], local, found["lock"], python, versions)


def _installed(package: str) -> str | None:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- words --------------------------------------------------------------------------------------


def _reason(error: BaseException) -> str:
    if isinstance(error, FlowError):
        return error.what
    return f"{type(error).__name__}: {error}"


def _hint(made: _Side, here: _Side, package: str) -> str:
    plain = f"store plain values in {_short(made)}: numbers, texts, lists, dicts"
    if not package:
        return f"give both the same environment, or {plain}"
    version, there = made.versions.get(package), here.versions.get(package)
    wanted = f"{package}=={version}" if version else package
    if here.provider:
        add = f"add {wanted} to the packages of @{here.provider} of step '{here.step}'"
    elif here.step:
        add = f"give step '{here.step}' an environment that has {wanted}"
        add += f", as @{made.provider} of step '{made.step}' has" if made.provider else ""
    else:
        add = f"pip install '{wanted}'"
    if package in here.versions and there is None:
        return f"{add}; or {plain}"
    return f"let both have the same {package}: {add}; or {plain}"


def _short(side: _Side) -> str:
    return f"step '{side.step}'" if side.step else side.who


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
