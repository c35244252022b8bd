"""Locks as ``conda-lock.yml``, which the conda-lock library writes and reads.

To import that library takes more than a second: only who needs it imports this module.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flow_conda.platforms import marker_variables
from flow_conda.required import applying, check_python_version
from flow_core.api import NoEnvironment

with warnings.catch_warnings():  # it says at its import what it should do otherwise
    warnings.simplefilter("ignore")
    from conda_lock.lockfile import parse_conda_lock_file, write_conda_lock_file
    from conda_lock.lockfile.v2prelim.models import (
        HashModel,
        LockedDependency,
        Lockfile,
        LockMeta,
    )
    from conda_lock.models.channel import Channel

NAME = "conda-lock.yml"
_ENDS = (".conda", ".tar.bz2")


def conda_lock_text(lock: Mapping[str, Any], pip: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a lock as the text of a ``conda-lock.yml``.

    Args:
        lock: of this provider.
        pip: what pip installs beside it: ``name``, ``version``, ``url`` and ``sha256`` of each.

    Raises:
        NoEnvironment: a package has no MD5, which the format demands.
    """
    platform = lock["platform"]
    packages = [_conda_package(p, platform) for p in lock["packages"]]
    packages += [_pip_package(p, platform) for p in pip]
    channels = list(dict.fromkeys(p["channel"].rstrip("/") for p in lock["packages"]))
    digest = sha256(json.dumps(lock, sort_keys=True).encode()).hexdigest()
    content = Lockfile(
        package=packages,
        metadata=LockMeta(
            content_hash={platform: digest},
            channels=[Channel.from_string(channel) for channel in channels],
            platforms=[platform],
            sources=[],
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME)
        write_conda_lock_file(content, path, metadata_choices=None, include_help_text=False)
        return path.read_text(encoding="utf-8")


def _conda_package(package: Mapping[str, Any], platform: str) -> LockedDependency:
    if "md5" not in package:
        raise NoEnvironment(
            f"The package '{package['name']}' has no MD5, which conda-lock.yml demands",
            where=package["url"],
            why="the index of its channel does not state it",
            hint="let the channel be indexed anew: conda index",
        )
    depends = (text.partition(" ") for text in package.get("depends", ()))
    return LockedDependency(
        name=package["name"],
        version=package["version"],
        manager="conda",
        platform=platform,
        dependencies={name: range_.strip() for name, _, range_ in depends},
        url=package["url"],
        hash=HashModel(md5=package["md5"], sha256=package["sha256"]),
        build=package["build"],
        categories={"main"},
    )


def _pip_package(package: Mapping[str, Any], platform: str) -> LockedDependency:
    return LockedDependency(
        name=package["name"],
        version=package["version"],
        manager="pip",
        platform=platform,
        url=package["url"],
        hash=HashModel(sha256=package["sha256"]),
        categories={"main"},
    )


def read_conda_lock(
    text: str, name: str, platform: str
) -> tuple[list[dict[str, Any]], list[LockedDependency]]:
    """Return what a ``conda-lock.yml`` says of a platform: packages of conda, as our locks have
    them, and those of pip.

    Args:
        text: of the file.
        name: of the file, for errors.
        platform: of channels: ``linux-64``.

    Raises:
        NoEnvironment: it is none, or says nothing of the platform.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME)
        path.write_text(text, encoding="utf-8")
        try:
            content = parse_conda_lock_file(path)
        except Exception as error:  # pydantic's, YAML's and its own
            raise _wrong(name, " ".join(str(error).split())[:300]) from None
    if platform not in content.metadata.platforms:
        known = ", ".join(content.metadata.platforms)
        raise _wrong(name, f"it is for {known}, and the step runs on {platform}")
    main = [p for p in content.package if p.platform == platform and "main" in p.categories]
    conda = [_locked(p, name) for p in main if p.manager == "conda"]
    return sorted(conda, key=lambda p: p["name"]), [p for p in main if p.manager == "pip"]


def read_all(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ``conda-lock.yml`` means for an environment, as `flow_conda.solving.solve` does.

    Args:
        job: ``text`` and ``name`` of the file, ``platform``, and ``required``: texts of pip.
    """
    packages, pip = read_conda_lock(job["text"], job["name"], job["platform"])
    python = next((p["version"] for p in packages if p["name"] == "python"), None)
    if python is None:
        raise _wrong(job["name"], "it has no Python")
    check_python_version(python)
    variables = marker_variables(python, job["platform"])
    left = [f"{p.name} @ {p.url}#sha256={p.hash.sha256}" for p in pip]
    there = {p["name"] for p in packages} | {p.name for p in pip}
    left += [t for name, t in applying(job["required"], variables) if name not in there]
    return {"packages": packages, "left": left}


def _locked(package: LockedDependency, name: str) -> dict[str, Any]:
    place, _, file = urlsplit(package.url).path.rpartition("/")
    end = next((end for end in _ENDS if file.endswith(end)), "")
    if not package.hash.sha256 or not end:
        what = "no SHA-256" if end else "a URL of no package"
        raise _wrong(name, f"'{package.name}' has {what}")
    found = {
        "name": package.name,
        "version": package.version,
        "build": package.build or file.removesuffix(end).rpartition("-")[2],
        "build_number": 0,
        "subdir": place.rpartition("/")[2],
        "depends": [f"{n} {range_}".strip() for n, range_ in package.dependencies.items()],
        "sha256": package.hash.sha256,
        "fn": file,
        "url": package.url,
        "channel": package.url.removesuffix(f"{place.rpartition('/')[2]}/{file}"),
    }
    return {**found, "md5": package.hash.md5} if package.hash.md5 else found


def _wrong(name: str, why: str) -> NoEnvironment:
    return NoEnvironment(
        f"'{name}' is no lock that can be used here",
        where=name,
        why=why,
        hint="conda-lock writes it: conda-lock --platform linux-64 --file environment.yml",
    )
