"""Platforms: what uv calls them, and which wheels fit them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from flow_core.api import NoEnvironment, this_platform

if TYPE_CHECKING:
    from packaging.tags import Tag

_GLIBC = 28  # 2.28: that of the oldest systems in use; wheels for newer ones do not run there
_MACOS = (13, 0)
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def uv_platform(platform: str) -> str:
    """Return what uv calls a platform: ``x86_64-manylinux_2_28`` for ``linux-x86_64``.

    Raises:
        NoEnvironment: there are no packages for it.
    """
    system, _, machine = platform.partition("-")
    known = _MACHINES.get(machine)
    if known and system == "linux":
        if _is_musl(platform):
            return f"{known}-unknown-linux-musl"
        return f"{known}-manylinux_2_{_glibc(platform)}"
    if known and system == "macos":
        return f"{known}-apple-darwin"
    if known and system == "windows":
        return f"{known}-pc-windows-msvc"
    raise NoEnvironment(
        f"There are no packages for the platform '{platform}'",
        where="environment provider 'pypi'",
        why="it knows linux, macos and windows, on x86_64 and arm64",
        hint="run the step elsewhere, or without @pypi",
    )


@lru_cache(maxsize=8)
def tags(platform: str, python: str) -> dict[Tag, int]:
    """Return the tags of wheels that fit, each with its rank: the best has 0."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = map(int, python.split(".")[:2])
    names = list(_platform_tags(platform))
    found: dict[Tag, int] = {}
    for tag in cpython_tags((major, minor), [f"cp{major}{minor}"], names):
        found.setdefault(tag, len(found))
    for tag in compatible_tags((major, minor), f"cp{major}{minor}", names):
        found.setdefault(tag, len(found))
    return found


def holds(marker: str, platform: str, python: str) -> bool:
    """Whether a marker, ``sys_platform == 'linux'``, holds on a platform; an empty one does."""
    from packaging.markers import Marker

    system, _, machine = platform.partition("-")
    known = _MACHINES.get(machine, machine)
    names = {"linux": ("linux", "Linux"), "macos": ("darwin", "Darwin")}
    sys_platform, platform_system = names.get(system, ("win32", "Windows"))
    full = python if python.count(".") == 2 else f"{python}.0"
    machines = {"linux": known, "macos": machine, "windows": machine.upper()}
    environment = {
        "os_name": "nt" if system == "windows" else "posix",
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "platform_machine": machines.get(system, machine),
        "platform_release": "",
        "platform_version": "",
        "python_version": ".".join(full.split(".")[:2]),
        "python_full_version": full,
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    return not marker or Marker(marker).evaluate(environment)


def _platform_tags(platform: str) -> Iterator[str]:
    from packaging.tags import mac_platforms

    system, _, machine = platform.partition("-")
    known = _MACHINES.get(machine, machine)
    if system == "macos":
        yield from mac_platforms(_MACOS, "arm64" if known == "aarch64" else known)
    elif system == "windows":
        yield "win_arm64" if known == "aarch64" else "win_amd64"
    elif _is_musl(platform):
        yield from (f"musllinux_1_{n}_{known}" for n in range(2, -1, -1))
        yield f"linux_{known}"
    else:
        older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        for number in range(_glibc(platform), 4, -1):
            yield f"manylinux_2_{number}_{known}"
            if number in older:
                yield f"{older[number]}_{known}"
        yield f"linux_{known}"


def _is_musl(platform: str) -> bool:
    """Whether it is this machine, and that has the other C library of Linux."""
    if platform != this_platform() or not platform.startswith("linux-"):
        return False
    try:
        return not os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return True


def _glibc(platform: str) -> int:
    """Return the minor version of the C library that wheels may ask for."""
    if platform == this_platform() and hasattr(os, "confstr"):
        try:
            stated = os.confstr("CS_GNU_LIBC_VERSION") or ""
            return max(17, min(_GLIBC, int(stated.rpartition(".")[2])))
        except (OSError, ValueError):
            return _GLIBC
    return _GLIBC
