"""podman: real containers, with images that are made from this machine; no registry is asked."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from servers.sharing import absent, clean_at_end, shared

_SETTINGS = """
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
lock_type = "file"
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
"""Nothing of podman is shared with that of the person: neither images nor locks. Limits are set since
raising them, which is the default, needs a right that is missing in many containers."""

_STORAGE = """
[storage]
driver = "{driver}"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""

_CLEAN = """
export CONTAINERS_CONF={folder}/containers.conf
export CONTAINERS_STORAGE_CONF={folder}/storage.conf
for pid in $(cat {folder}/services 2>/dev/null); do kill $pid; done
timeout 60 podman pod rm --all --force --time 0
timeout 60 podman rm --all --force --time 0
while read -r _ place _; do
    case $place in {folder}/*) umount -l "$place" ;; esac
done </proc/mounts
rm -rf {folder}
"""
"""Ends all containers, and what they have mounted: else their folders could not be removed."""

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "tkinter"}
_OF_PACKAGES = ("libgcc_s.so.1", "libstdc++.so.6")
_OF_PACKAGES += ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")
"""What compiled packages need besides; the last ones are empty by now, but named by older ones."""
_APPLETS = "cat cp df env false grep head id kill ln ls mkdir mount mv nc ps rm sleep sort tail test true uname"
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Whom TLS trusts: clients of object stores begin with it, also where they use none."""

_FOREIGN = {"x86_64": 183, "aarch64": 62}  # for each machine, the number of the other one in ELF


class Podman(NamedTuple):
    """podman with a store of its own, which is removed at the end of the run of pytest.

    Attributes:
        folder: where its settings, images and containers are.
    """

    folder: Path

    @classmethod
    def shared(cls) -> Podman:
        """Return the one of this run of pytest."""
        if shutil.which("podman") is None:
            absent("no podman here: apt-get install podman runc conmon netavark catatonit")
        if shutil.which("busybox") is None:
            absent("no busybox for images here: apt-get install busybox-static")
        known = shared("podman", _start)
        if known["fault"]:
            absent(f"podman cannot run containers here: {known['fault']}")
        return cls(Path(known["folder"]))

    def environment(self) -> dict[str, str]:
        """Return the variables by which podman finds this store."""
        return {
            "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
        }

    def run(
        self, *words: str, content: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``podman WORD…``; return what it wrote, and its status."""
        done = subprocess.run(
            ["podman", *words],
            input=content,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, **self.environment()},
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert not check or done.returncode == 0, f"podman {words[0]}: {said}"
        return done

    def said(self, *words: str) -> str:
        """Run ``podman WORD…``; return what it wrote to its standard output, without a last line end."""
        return self.run(*words).stdout.decode().rstrip("\n")

    def containers(self, *filters: str) -> list[dict[str, Any]]:
        """Return what podman tells of the containers that there are, also of those that ended."""
        asked = [word for each in filters for word in ("--filter", each)]
        found = json.loads(self.said("ps", "--all", *asked, "--format", "json"))
        assert isinstance(found, list)
        return found

    # --- images ---

    @property
    def python_image(self) -> str:
        """An image with the Python of this process, a shell, and nothing of flow-core."""
        major, minor = sys.version_info[:2]
        name = f"localhost/flow-test-python:{major}.{minor}"
        return self._image(name, "python", lambda: [*_busybox(), *_python(sys.executable)])

    @property
    def shell_image(self) -> str:
        """An image with a shell and a few commands, and no Python."""
        return self._image("localhost/flow-test-shell:1", "shell", _busybox)

    @property
    def empty_image(self) -> str:
        """An image with no program at all, not even a shell."""
        return self._image(
            "localhost/flow-test-empty:1", "empty", lambda: [_File("tmp", mode=0o1777)]
        )

    @property
    def foreign_image(self) -> str:
        """An image of another architecture: nothing in it can be executed here."""
        return self._image("localhost/flow-test-foreign:1", "foreign", _foreign)

    def image_with(self, interpreter: str) -> str:
        """Return an image with another Python of this machine.

        Args:
            interpreter: path of one that is installed, not of a virtual environment.
        """
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.check_output([interpreter, "-c", asked], text=True).strip()
        name = f"localhost/flow-test-python:{version}"
        return self._image(name, version, lambda: [*_busybox(), *_python(interpreter)])

    def _image(self, name: str, key: str, files: Callable[[], Iterable[_File]]) -> str:
        def make(_: Path) -> dict[str, Any]:
            foreign = {"x86_64": "arm64", "aarch64": "amd64"}
            other = ["--arch", foreign[platform.machine()]] if key == "foreign" else []
            self.run("import", *other, "-", name, content=_archive(files()))
            return {}

        shared(f"podman-image-{key}", make)
        return name

    # --- what else tests want ---

    def play(self, manifest: Mapping[str, Any]) -> tuple[int, str]:
        """Run a pod by ``podman play kube``; return the exit code of its first container, and its log.

        Args:
            manifest: of the kind Pod, as JSON data. Its images must be there.
        """
        name, container = manifest["metadata"]["name"], manifest["spec"]["containers"][0]["name"]
        file = self.folder / f"{uuid.uuid4().hex}.json"  # JSON is YAML
        file.write_text(json.dumps(manifest))
        try:
            # The network of pods needs iptables; that of the host needs nothing.
            self.run("play", "kube", "--network", "host", str(file))
            code = int(self.said("wait", f"{name}-{container}"))
            logged = self.run("logs", f"{name}-{container}")
            return code, (logged.stdout + logged.stderr).decode(errors="replace")
        finally:
            file.unlink()
            self.run("pod", "rm", "--force", "--time", "0", name, check=False)

    def docker_host(self) -> str:
        """Return the address at which podman speaks the language of Docker's daemon."""
        return str(shared("podman-docker", self._serve_docker)["address"])

    def _serve_docker(self, _: Path) -> dict[str, Any]:
        socket = self.folder / "docker.sock"
        line = 'podman system service --time 0 "$0" >"$1" 2>&1 & echo $! >>"$2"'
        log = self.folder / "docker.log"
        subprocess.run(
            ["/bin/sh", "-c", line, f"unix://{socket}", str(log), str(self.folder / "services")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **self.environment()},
            start_new_session=True,
            check=True,
        )
        deadline = time.monotonic() + 30
        while not socket.exists():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        return {"address": f"unix://{socket}"}


def _start(folder: Path) -> dict[str, Any]:
    """Find settings by which containers run here; tell the fault where there are none."""
    folder.mkdir()
    clean_at_end(folder, _CLEAN.format(folder=folder))
    here = Podman(folder)
    faults: list[str] = []
    for driver, runtime in (("overlay", "runc"), ("overlay", "crun"), ("vfs", "runc")):
        if shutil.which(runtime) is None:
            faults.append(f"no {runtime}")
            continue
        (folder / "containers.conf").write_text(_SETTINGS.format(folder=folder, runtime=runtime))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder, driver=driver))
        for each in ("images", "run", "tmp"):
            shutil.rmtree(folder / each, ignore_errors=True)
        made = here.run("import", "-", "localhost/try:1", content=_archive(_busybox()), check=False)
        tried = here.run("run", "--rm", "localhost/try:1", "true", check=False)
        if made.returncode == tried.returncode == 0:
            return {"folder": str(folder), "fault": ""}
        faults.append((made.stderr + tried.stderr).decode(errors="replace").strip()[-500:])
    return {"folder": str(folder), "fault": faults[0]}


# --- what images hold -------------------------------------------------------------------------------


class _File(NamedTuple):
    """A file of an image: from a path, with a content, a link to another one, or a folder."""

    path: str
    source: str | None = None
    content: bytes | None = None
    link: str | None = None
    mode: int | None = None


def _archive(files: Iterable[_File]) -> bytes:
    """Return an archive for ``podman import``; all belongs to root."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.mode = file.mode or 0o755
            if file.link is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.link
                archive.addfile(entry)
            elif file.content is not None:
                entry.size = len(file.content)
                archive.addfile(entry, io.BytesIO(file.content))
            elif file.source is not None:
                content = Path(file.source)
                entry.size, entry.mtime = content.stat().st_size, int(content.stat().st_mtime)
                with content.open("rb") as opened:
                    archive.addfile(entry, opened)
            else:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
    return made.getvalue()


def _busybox() -> list[_File]:
    program = os.path.realpath(shutil.which("busybox") or "")
    return [
        *(
            _File(name, mode=0o755)
            for name in ("bin", "etc", "proc", "root", "sys", "usr", "usr/bin")
        ),
        _File("tmp", mode=0o1777),
        _File("etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644),
        _File("etc/group", content=b"root:x:0:\n", mode=0o644),
        _File("bin/busybox", program),
        _File("bin/sh", link="busybox"),
        *(_File(f"bin/{name}", link="busybox") for name in _APPLETS.split()),
    ]


def _foreign() -> list[_File]:
    """Return an image whose programs are, by their header, for another machine."""
    program = bytearray(Path(os.path.realpath(shutil.which("busybox") or "")).read_bytes()[:4096])
    program[18:20] = _FOREIGN[platform.machine()].to_bytes(2, "little")
    names = ("bin/sh", "bin/python3")
    return [
        _File("bin"),
        _File("tmp", mode=0o1777),
        *(_File(n, content=bytes(program)) for n in names),
    ]


def _python(interpreter: str) -> Iterator[_File]:
    """Return the files of an installed Python, below /usr/local, with the libraries that it needs."""
    asked = (
        "import json, os, sys; print(json.dumps([getattr(sys, '_base_executable', sys.executable),"
        " os.path.dirname(os.__file__), '%d.%d' % sys.version_info[:2]]))"
    )
    program, library, version = json.loads(subprocess.check_output([interpreter, "-c", asked]))
    program = os.path.realpath(program)
    yield _File("usr/local")
    yield _File("usr/local/bin")
    yield _File(f"usr/local/bin/python{version}", program)
    authorities = next(filter(os.path.isfile, _AUTHORITIES), None)
    if authorities:
        yield from (_File(name, mode=0o755) for name in ("etc/ssl", "etc/ssl/certs"))
        yield _File("etc/ssl/certs/ca-certificates.crt", authorities, mode=0o644)
    for name in ("python3", "python"):
        yield _File(f"usr/local/bin/{name}", link=f"python{version}")
    modules = list(_library(library))
    yield from (_File(f"usr/local/lib/python{version}/{path}", full) for path, full in modules)
    compiled = [full for _, full in modules if full.endswith(".so")]
    yield from _shared_libraries([program, *compiled])


def _library(folder: str) -> Iterator[tuple[str, str]]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in _LEFT_OUT and not f.startswith("config-")]
        for name in files:
            full = os.path.join(parent, name)
            unused = ".opt-" in name or name.startswith(("_tkinter", "_test"))
            if not unused and os.path.isfile(full):
                yield os.path.relpath(full, folder), full


def _shared_libraries(programs: list[str]) -> Iterator[_File]:
    """Return what the loader finds for ``programs``: those of the system where they are here, those
    of the interpreter's own folder beside them, where every loader looks."""
    found: dict[str, str] = {}
    loader = ""
    for line in subprocess.run(
        ["ldd", *programs], capture_output=True, text=True, check=False
    ).stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        path = (rest if arrow else name).partition(" (")[0]
        if not os.path.isfile(path):
            continue
        if arrow:
            found[name] = path
        else:
            loader = path
    system = os.path.dirname(found["libc.so.6"])
    for name in _OF_PACKAGES:
        for folder in (system, system.replace("/lib/", "/usr/lib/")):
            if os.path.isfile(f"{folder}/{name}"):
                found.setdefault(name, f"{folder}/{name}")
    yield _File(loader.lstrip("/"), os.path.realpath(loader))
    for name, path in found.items():
        yield _File(f"{system.lstrip('/')}/{name}", os.path.realpath(path))
