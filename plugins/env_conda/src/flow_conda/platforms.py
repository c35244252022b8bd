"""Platforms: their names here and in channels, and what a machine of one has beside packages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flow_core.api import NoEnvironment, near_misses

if TYPE_CHECKING:
    from rattler import GenericVirtualPackage

_SUBDIRS = {
    "linux-x86_64": "linux-64",
    "linux-amd64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "linux-arm64": "linux-aarch64",
    "linux-ppc64le": "linux-ppc64le",
    "linux-s390x": "linux-s390x",
    "linux-riscv64": "linux-riscv64",
    "macos-x86_64": "osx-64",
    "macos-arm64": "osx-arm64",
    "windows-amd64": "win-64",
    "windows-x86_64": "win-64",
    "windows-arm64": "win-arm64",
}
_ARCHSPECS = {"64": "x86_64", "arm64": "arm64"}
_GLIBC, _LINUX, _OSX = "2.28", "5.10", "11.0"  # what is assumed of machines that are not this one


def subdir_of(platform: str) -> str:
    """Return the name that channels have for a platform: ``linux-64`` for ``linux-x86_64``.

    Raises:
        NoEnvironment: conda knows none like it.
    """
    if platform in _SUBDIRS:
        return _SUBDIRS[platform]
    if platform in _SUBDIRS.values():
        return platform
    near = near_misses(platform, _SUBDIRS)
    raise NoEnvironment(
        f"There are no packages of conda for the platform '{platform}'",
        where="environment provider 'conda'",
        why=f"platforms that there are: {', '.join(dict.fromkeys(_SUBDIRS.values()))}",
        hint=f"did you mean '{near[0]}'?" if near else "use another compute provider",
    )


def virtual_packages(subdir: str) -> list[GenericVirtualPackage]:
    """Return what a machine of a platform has, as conda's solver sees it: ``__glibc``, ``__osx``, …

    Of this machine's platform it is what this machine has; else what most machines have. The
    variables ``CONDA_OVERRIDE_GLIBC``, ``CONDA_OVERRIDE_OSX`` and ``CONDA_OVERRIDE_CUDA`` count.
    """
    from rattler import Subdir, VirtualPackage, VirtualPackageOverrides

    if subdir == str(Subdir.current()):
        found = VirtualPackage.detect(VirtualPackageOverrides.from_env())
        return [package.into_generic() for package in found]
    system, _, machine = subdir.partition("-")
    given = os.environ.get
    wanted = {"__archspec": ("1", _ARCHSPECS.get(machine, machine))}
    if system == "win":
        wanted["__win"] = ("0", "0")
    else:
        wanted["__unix"] = ("0", "0")
    if system == "linux":
        wanted["__linux"] = (given("CONDA_OVERRIDE_LINUX") or _LINUX, "0")
        wanted["__glibc"] = (given("CONDA_OVERRIDE_GLIBC") or _GLIBC, "0")
    if system == "osx":
        wanted["__osx"] = (given("CONDA_OVERRIDE_OSX") or _OSX, "0")
    if given("CONDA_OVERRIDE_CUDA"):
        wanted["__cuda"] = (given("CONDA_OVERRIDE_CUDA", ""), "0")
    return [_virtual(name, *rest) for name, rest in wanted.items()]


def _virtual(name: str, version: str, build: str) -> GenericVirtualPackage:
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def marker_variables(python: str, subdir: str) -> dict[str, str]:
    """Return the variables of conditions in requirements, for a Python (``3.12.4``) there."""
    system, _, machine = subdir.partition("-")
    names = {
        "linux": ("posix", "linux", "Linux"),
        "osx": ("posix", "darwin", "Darwin"),
        "win": ("nt", "win32", "Windows"),
    }
    os_name, sys_platform, platform_system = names[system]
    return {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "implementation_name": "cpython",
        "implementation_version": python,
        "platform_python_implementation": "CPython",
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "platform_machine": _ARCHSPECS.get(machine, machine),
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }
