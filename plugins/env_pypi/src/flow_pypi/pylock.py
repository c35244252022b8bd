"""``pylock.toml`` (PEP 751) as it is kept in locks: one file for each package, in one form only.

uv lists each wheel that fits, with times and sizes. Here the best one is chosen once, so that the same
bytes are installed everywhere, and what is no part of the environment is left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from flow_core.api import NoEnvironment
from flow_pypi.platforms import holds, tags
from flow_pypi.sources import without_login
from flow_pypi.wanted import normal

TOOL = "flow-pypi"
_VCS = ("type", "url", "requested-revision", "commit-id", "subdirectory")


class Package(NamedTuple):
    """One package of a lock.

    Attributes:
        name: its normal name.
        version: its version.
        file: name of its wheel; ``''`` where it has none yet.
        sha256: hash of the wheel.
        url: where the wheel is; ``''``: it is a file of somebody's, or was built.
        size: bytes of the wheel; 0 = not known.
        direct: whether the file was asked for by itself, and not found in an index or a folder.
        source: of what the wheel is built: ``{"vcs": …}``, ``{"sdist": …}``, ``{"archive": …}``.
        build: requirements of its build, pinned.
    """

    name: str
    version: str
    file: str = ""
    sha256: str = ""
    url: str = ""
    size: int = 0
    direct: bool = False
    source: Mapping[str, Mapping[str, Any]] = {}
    build: tuple[str, ...] = ()


def _order(package: Package) -> tuple[str, str]:
    return package.name, package.version


def load(text: str) -> dict[str, Any]:
    """Return TOML data.

    Raises:
        ValueError: it is none.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    found: dict[str, Any] = tomllib.loads(text)
    return found


def minor(version: str) -> str:
    """``3.12`` for ``3.12.4``."""
    return ".".join(version.split(".")[:2])


# --- what uv writes ---------------------------------------------------------------------------------


def found_by_uv(
    text: str, platform: str, python: str, *, universal: bool = False
) -> tuple[list[Package], dict[str, str]]:
    """Return the packages in a lock of uv, and the paths of those that are files of this machine.

    Args:
        text: what ``uv pip compile --format pylock.toml`` prints, or ``uv export``.
        platform: the platform of which wheels are chosen.
        python: its Python, ``3.12``.
        universal: whether it has packages of other platforms, too.

    Raises:
        NoEnvironment: a package has neither wheel nor source.
    """
    packages, paths = [], {}
    for entry in load(text).get("packages", ()):
        if universal and not holds(entry.get("marker", ""), platform, python):
            continue
        package, path = _entry(entry, platform, python)
        packages.append(package)
        if path:
            paths[package.name] = path
    return sorted(packages, key=_order), paths


def _entry(entry: Mapping[str, Any], platform: str, python: str) -> tuple[Package, str]:
    name, version = normal(entry["name"]), str(entry.get("version", ""))
    if "vcs" in entry:
        vcs = {key: entry["vcs"][key] for key in _VCS if key in entry["vcs"]}
        vcs["url"] = _public(vcs["url"])
        return Package(name, version, source={"vcs": vcs}), ""
    if "directory" in entry:
        raise NoEnvironment(
            f"'{name}' is a folder, which has no hash: nobody could build the same again",
            where=str(entry["directory"].get("path", "")),
            why="@pypi locks wheels, and repositories by their commit",
            hint="make a wheel of it, and name that: uv build --wheel FOLDER",
        )
    files = [entry["archive"]] if "archive" in entry else list(entry.get("wheels", ()))
    wheel = _best([f for f in files if _file_name(f).endswith(".whl")], platform, python)
    if wheel is None:
        kind = "archive" if "archive" in entry else "sdist"
        if kind not in entry:
            raise _no_wheel(name, version, platform, python, [_file_name(f) for f in files])
        return Package(name, version, source={kind: _source(entry[kind])}), ""
    url, path = _place(wheel)
    package = Package(
        name,
        version or _file_name(wheel).split("-")[1],
        _file_name(wheel),
        wheel["hashes"]["sha256"],
        "" if path else _public(url),
        int(wheel.get("size", 0)),
        direct="archive" in entry,
    )
    return package, path


def _source(file: Mapping[str, Any]) -> dict[str, Any]:
    url, path = _place(file)
    place = {"path": os.path.basename(path)} if path else {"url": _public(url)}
    more = {"subdirectory": file["subdirectory"]} if "subdirectory" in file else {}
    return {**place, **more, "sha256": file["hashes"]["sha256"], "local": path}


def _place(file: Mapping[str, Any]) -> tuple[str, str]:
    """Return the URL of a file, and its path where it is on this machine."""
    url = str(file.get("url", ""))
    if url.startswith("file:"):
        return "", unquote(urlsplit(url).path)
    return url, str(file.get("path", ""))


def _file_name(file: Mapping[str, Any]) -> str:
    url, path = _place(file)
    return str(file.get("name") or os.path.basename(path or unquote(urlsplit(url).path)))


def _public(url: str) -> str:
    url = without_login(url)
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.username:  # a token
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return url


def _best(
    wheels: Sequence[Mapping[str, Any]], platform: str, python: str
) -> Mapping[str, Any] | None:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    fitting = tags(platform, python)
    ranked: list[tuple[int, str, Mapping[str, Any]]] = []
    for wheel in wheels:
        try:
            of_wheel = parse_wheel_filename(_file_name(wheel))[3]
        except InvalidWheelFilename:
            continue
        ranks = [fitting[tag] for tag in of_wheel if tag in fitting]
        if ranks:
            ranked.append((min(ranks), _file_name(wheel), wheel))
    return min(ranked, key=lambda r: r[:2])[2] if ranked else None


def _no_wheel(
    name: str, version: str, platform: str, python: str, files: Sequence[str]
) -> NoEnvironment:
    some = ", ".join(sorted(files)[:3])
    return NoEnvironment(
        f"'{name} {version}' has no wheel for Python {python} on {platform}",
        where="environment provider 'pypi'",
        why=f"there is: {some}{', …' if len(files) > 3 else ''}" if files else "it has no file",
        hint="ask for another version of it, or of Python",
    )


# --- the form in locks ------------------------------------------------------------------------------


def write(
    packages: Iterable[Package], python: str = "", local: Mapping[str, str] | None = None
) -> str:
    """Return the text of a ``pylock.toml``.

    Args:
        packages: what it has.
        python: version of Python, ``3.12``; ``''``: any.
        local: name → path of a wheel that is installed from there, whatever its URL.
    """
    head = {"lock-version": "1.0", "created-by": TOOL}
    if python:
        head["requires-python"] = f"=={minor(python)}.*"
    parts = ["".join(f"{key} = {_toml(value)}\n" for key, value in head.items())]
    if not (
        entries := [_written(p, (local or {}).get(p.name)) for p in sorted(packages, key=_order)]
    ):
        parts[0] += "packages = []\n"
    for entry in entries:
        body = "".join(f"{key} = {_toml(value)}\n" for key, value in entry.items())
        parts.append(f"[[packages]]\n{body}")
    return "\n".join(parts)


def _written(package: Package, path: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": package.name}
    if package.version:
        found["version"] = package.version
    size = {"size": package.size} if package.size else {}
    hashes = {"hashes": {"sha256": package.sha256}}
    if path is not None:
        found["wheels"] = [{"name": package.file, "path": path, **size, **hashes}]
    elif package.source:
        found.update({kind: _out(source) for kind, source in package.source.items()})
        wheel = {"name": package.file, **size, **hashes}
        found["tool"] = {TOOL: {"wheel": wheel, "build": list(package.build)}}
    elif package.direct and package.url:
        found["archive"] = {"url": package.url, **size, **hashes}
    else:
        place = {"url": package.url} if package.url else {"path": package.file}
        found["wheels"] = [{"name": package.file, **place, **size, **hashes}]
    return found


def _out(source: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in source.items() if key not in ("sha256", "local")}
    return {**found, "hashes": {"sha256": source["sha256"]}} if "sha256" in source else found


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def read(text: str) -> list[Package]:
    """Return the packages of a text that `write` made.

    Raises:
        ValueError, KeyError, TypeError: it is another one.
    """
    return [_read(entry) for entry in load(text).get("packages", ())]


def _read(entry: Mapping[str, Any]) -> Package:
    name, version = entry["name"], entry.get("version", "")
    tool = entry.get("tool", {}).get(TOOL)
    if tool is not None:
        kind = next(k for k in ("vcs", "sdist", "archive") if k in entry)
        source = {k: v for k, v in entry[kind].items() if k != "hashes"}
        if "hashes" in entry[kind]:
            source["sha256"] = entry[kind]["hashes"]["sha256"]
        wheel = tool["wheel"]
        digest = wheel["hashes"]["sha256"]
        return Package(
            name,
            version,
            wheel["name"],
            digest,
            size=wheel.get("size", 0),
            source={kind: source},
            build=tuple(tool["build"]),
        )
    direct = "archive" in entry
    file = entry["archive"] if direct else entry["wheels"][0]
    digest, url = file["hashes"]["sha256"], file.get("url", "")
    return Package(name, version, _file_name(file), digest, url, file.get("size", 0), direct)
