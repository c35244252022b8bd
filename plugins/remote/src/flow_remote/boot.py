"""Begins a task on a machine that has nothing but Python: fetches what it is, and what it needs.

This file travels as text: it imports nothing but the standard library, and an old Python must
understand it. The variable ``FLOW_TASK`` (JSON) names the task's specification in the store, and how
a store is read:

    format   1
    source   text of the store's fetcher, also as ``zlib:`` and its compressed form in base64, and
    config   what it is given: see `flow_core.api.Bootstrap`
    key      key of the specification
    sha256   hash of the specification
    grace    seconds that the task gets when it is to end

The specification (JSON) is read in the store, and the start module in the runtime reads on:

    format     1
    url        what the task is, for the start module
    runtime    parts of the runtime: see `choose`
    installed  name → version of the distributions that make a runtime superfluous
    start      name of a module, or a list of it and arguments: its function ``main(spec, folders)``
               gets the specification and the folders of the runtime, and returns the exit status

All that is fetched is checked against its hash. What goes wrong is told in one line of JSON, on the
standard error and where Kubernetes looks for it, and by the exit status 202.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before anything is imported from the current folder
    sys.path[:] = [folder for folder in sys.path if folder]

import json
import os
import signal
import time

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, Sequence

FORMAT = 1
FAILED = 202
"""Exit status of a task that could not begin."""
PACKED = "zlib:"
"""How the text of a fetcher begins that is compressed."""
OLDEST = (3, 10)
"""The oldest Python that flow-core runs on."""
_STALE = 86400.0
"""Seconds after which a folder that is not whole is taken for that of a dead process."""
_UNUSED = 60 * 86400.0
"""Seconds after which a part is removed that no task has begun with: longer than tasks run."""
_TURN = 60.0
"""Seconds for which another task of this machine is waited for that fetches the same."""
_CONTENTS = ".flow-contents"


class Failed(Exception):
    """The task cannot begin."""

    def __init__(self, what: str, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.parts = {"what": what, "where": where, "why": why, "hint": hint}


class Place:
    """The store of the task.

    Attributes:
        task: the content of ``FLOW_TASK``, which is not in the environment any more.
        read: reads objects: key → content, or None.
    """

    def __init__(self, task: dict[str, Any], read: Callable[[str], bytes | None]) -> None:
        self.task = task
        self.read = read


def main() -> int:
    """Begin the task; return its exit status."""
    try:
        check_python()
        place = open_task()
        spec = fetch_spec(place)
        folders = find_runtime(place, spec)
        start = load_start(spec["start"], folders)
        del place  # and with it the connections to the store
    except Failed as error:
        return report(error.parts)
    except Exception as error:  # whatever it is, who waits for the task is told in one line
        why = f"{type(error).__name__}: {error}"
        return report(Failed("The task cannot begin", _machine(), why).parts)
    result = start(spec, folders)
    return result if isinstance(result, int) else 0


# --- what it is -----------------------------------------------------------------------------------


def check_python() -> None:
    """Refuse a Python that flow-core does not run on."""
    if sys.version_info[:2] < OLDEST:
        raise Failed(
            "This Python is too old for flow-core",
            sys.executable,
            f"it is {_version(3)}, and flow-core needs 3.10 or newer",
            "use an image with a newer one: python:3.12, or name one: FLOW_PYTHON=/path/to/python",
        )


def open_task() -> Place:
    """Return what ``FLOW_TASK`` says, and the store's reader."""
    text = os.environ.pop("FLOW_TASK", "")
    try:
        task = json.loads(text)
        form, source, config = task["format"], task["source"], task["config"]
        task["key"], task["sha256"]
    except (ValueError, KeyError, TypeError):
        why = "it is not what a launcher writes there" if text else "it is not set"
        hint = "this program is started by flow-core alone: flow.py run --with …"
        raise Failed("There is no task", "the variable FLOW_TASK", why, hint) from None
    if form != FORMAT:
        why = f"its format is {form}, and this knows {FORMAT}"
        raise Failed("The task is of another flow-core", "the variable FLOW_TASK", why)
    module: dict[str, Any] = {"__name__": "flow_fetch"}
    try:
        exec(compile(_text(source), "<flow_fetch>", "exec"), module)
        read = module["open"](config)
    except Exception as error:
        raise _unreadable("The store cannot be read", _place(config), error) from None
    return Place(task, read)


def _text(source: str) -> str:
    """Return the text of a fetcher, which may have been made smaller for the way."""
    if not source.startswith(PACKED):
        return source
    import base64
    import zlib

    return zlib.decompress(base64.b64decode(source[len(PACKED) :])).decode()


def fetch_spec(place: Place) -> dict[str, Any]:
    """Return the specification."""
    key, digest = place.task["key"], place.task["sha256"]
    spec: dict[str, Any] = json.loads(fetch(place, key, digest, "The specification of the task"))
    if spec.get("format") != FORMAT:
        why = f"its format is {spec.get('format')}, and this knows {FORMAT}"
        raise Failed("The task is of another flow-core", key, why)
    return spec


def fetch(place: Place, key: str, digest: str, what: str) -> bytes:
    """Return an object of the store, whose hash is right."""
    for _ in range(2):  # what a network has changed is right the second time
        try:
            content = place.read(key)
        except Exception as error:
            raise _unreadable(f"{what} cannot be fetched", key, error) from None
        if content is None:
            hint = "was it deleted meanwhile? run the flow again"
            raise Failed(f"{what} is not in the store", _at(place, key), "it is missing", hint)
        found = _sha256(content)
        if found == digest:
            return content
    raise Failed(
        f"{what} is not what was submitted",
        _at(place, key),
        f"its SHA-256 is {found}, and must be {digest}",
        "somebody has changed it in the store: find out who may write there",
    )


def _unreadable(what: str, where: str, error: Exception) -> Failed:
    if isinstance(error, OSError):
        return Failed(what, where, str(error), getattr(error, "hint", ""))
    return Failed(what, where, f"{type(error).__name__} in the fetcher: {error}")


# --- what it needs --------------------------------------------------------------------------------


def find_runtime(place: Place, spec: Mapping[str, Any]) -> list[str]:
    """Return folders with flow-core and what it needs; none, if all of it is installed here."""
    always = os.environ.get("FLOW_RUNTIME") == "store"
    here = {} if always else find_installed()
    wanted = spec.get("installed") or {}
    if wanted and all(here.get(name) == version for name, version in wanted.items()):
        return []
    parts = choose(spec.get("runtime") or [], here)
    cache = Cache(parts)
    missing = [part for part in parts if not cache.has(part)]
    if len(missing) > 1:
        together(lambda part: cache.fill(place, part), missing)
    elif missing:
        cache.fill(place, missing[0])
    folders = []
    for part in parts:
        folder = cache.folder(part)
        inner = [os.path.join(folder, name) for name in lacking(part, here)]
        folders += inner if part.get("provides") else [folder]
    return folders


def find_installed() -> dict[str, str]:
    """Return name → version of what is installed here."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue  # an archive, or no folder at all
        for name in names:
            stem, _, kind = name.rpartition(".")
            parts = stem.split("-")
            if kind in ("dist-info", "egg-info") and len(parts) > 1:
                found.setdefault(parts[0].replace("_", "-").replace(".", "-").lower(), parts[1])
    return found


def choose(
    parts: Sequence[Mapping[str, Any]], installed: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    """Return the parts of the runtime that this Python needs.

    Args:
        parts: ``key``, ``sha256``, ``size``, ``unpacked`` (in bytes); ``name``: of parts of one
            name, one is needed; ``python``, ``platform``, ``libc``: what it is for, None = any;
            ``provides``: name → version of the libraries in it, each in a folder of its name;
            ``ranges``: name → versions that would do as well: who has these needs not ours.
        installed: name → version of what is installed here.
    """
    here = this_machine()
    names = dict.fromkeys(part.get("name") or part["key"] for part in parts)
    chosen = []
    for name in names:
        offered = [part for part in parts if (part.get("name") or part["key"]) == name]
        if all(part.get("provides") and not lacking(part, installed) for part in offered):
            continue
        fitting = [part for part in offered if fits(part, here)]
        if not fitting:
            raise _nothing_fits(name, offered, here)
        chosen.append(fitting[0])
    if not chosen:
        hint = "install flow-core and the plugins in use in the image: pip install flow-core"
        raise Failed("There is no flow-core here", _machine(), "no runtime came along", hint)
    return chosen


def lacking(part: Mapping[str, Any], installed: Mapping[str, str]) -> list[str]:
    """Return those libraries of a part that are not installed here, or in a version that will not do.

    A step finds the versions that its image was made with, as far as flow-core can work with them.
    """
    ranges = part.get("ranges") or {}
    return [
        name
        for name in part.get("provides") or {}
        if name not in installed or not satisfies(installed[name], ranges.get(name, ""))
    ]


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is in a range, ``>=1.2,<2``; what cannot be told apart by numbers is not."""
    clauses = [clause.strip() for clause in wanted.split(",") if clause.strip()]
    have = _numbers(version)
    for clause in clauses:
        sign = clause[: len(clause) - len(clause.lstrip("<>=!~"))]
        text = clause[len(sign) :].strip()
        exact = not text.endswith(".*")
        limit = _numbers(text if exact else text[:-2])
        if have is None or limit is None:
            return False
        size = max(len(have), len(limit))
        mine, other = (each + (0,) * (size - len(each)) for each in (have, limit))
        same = mine == other if exact else mine[: len(limit)] == limit
        compatible = mine >= other and mine[: len(limit) - 1] == limit[:-1]
        if not {
            ">=": mine >= other,
            "<=": mine <= other,
            ">": mine > other,
            "<": mine < other,
            "==": same,
            "!=": not same,
            "~=": compatible,
        }.get(sign, False):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else None


def fits(part: Mapping[str, Any], here: Mapping[str, str]) -> bool:
    """Whether a part can be used here."""
    return all(part.get(kind) in (None, value) for kind, value in here.items())


def this_machine() -> dict[str, str]:
    """Return what the compiled part of a runtime hangs on."""
    python = _version(2) + ("t" if "t" in getattr(sys, "abiflags", "") else "")
    machine = os.uname().machine.lower() if hasattr(os, "uname") else "unknown"
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    return {"python": python, "platform": f"{system}-{machine}", "libc": libc()}


def libc() -> str:
    """Return ``glibc``, or ``musl``; ``""`` on other systems than Linux."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        return "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"


def _nothing_fits(
    name: str, offered: Sequence[Mapping[str, Any]], here: Mapping[str, str]
) -> Failed:
    def words(of: Mapping[str, Any]) -> str:
        known = (of.get("platform"), of.get("libc"))
        return " ".join(["Python " + (of.get("python") or "of any version"), *filter(None, known)])

    provides = {n: v for part in offered for n, v in (part.get("provides") or {}).items()}
    wanted = " ".join(f"{n}=={v}" for n, v in sorted(provides.items()))
    hint = f"use an image with {words(offered[0])}"
    if wanted:
        hint += f", or install in this one: pip install {wanted}"
    others = ", ".join(dict.fromkeys(words(part) for part in offered))
    why = f"here is {words(here)}; the launcher offers: {others}"
    return Failed("No runtime of flow-core fits this machine", _machine(), f"{name}: {why}", hint)


# --- the cache ------------------------------------------------------------------------------------


class Cache:
    """Folders with parts of runtimes that this machine keeps, each under its hash.

    A part is unpacked beside its place and moved there when it is whole. What lies there is used only
    if it is as it was unpacked.

    Args:
        parts: what is wanted; a place is chosen that can be written, or has all of them.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        self._sound: set[str] = set()
        self.root = ""
        named = os.environ.get("FLOW_CACHE")
        for place in [named] if named else _places():
            self.root = os.path.join(place, "runtime")
            try:
                os.makedirs(self.root, mode=0o755, exist_ok=True)
                if os.access(self.root, os.W_OK):
                    return
                why = "it may not be written"
            except OSError as error:
                why = error.strerror or str(error)
            if all(self.has(part) for part in parts):
                return
        if named:
            hint = "FLOW_CACHE=/path/of/a/folder/that/can/be/written"
            raise Failed("The runtime cannot be kept", self.root, why, hint)
        self.root = _own_folder()

    def folder(self, part: Mapping[str, Any]) -> str:
        """Return where a part lies, or will."""
        return os.path.join(self.root, part["sha256"])

    def has(self, part: Mapping[str, Any]) -> bool:
        """Whether a part lies there, as it was unpacked."""
        folder = self.folder(part)
        if folder in self._sound:
            return True
        if not os.path.isdir(folder) or not is_sound(folder):
            return False
        self._sound.add(folder)
        try:
            os.utime(folder)  # it is in use
        except OSError:
            return True  # it is another person's, who looks after it
        return True

    def fill(self, place: Place, part: Mapping[str, Any]) -> None:
        """Fetch a part and unpack it, unless another task of this machine has just done that."""
        folder = self.folder(part)
        with Turn(folder + ".lock"):
            if self.has(part):
                return
            what = "A part of flow-core's runtime"
            content = fetch(place, part["key"], part["sha256"], what)
            self._sweep()
            made = f"{folder}.new-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                unpack(content, made)
                self._publish(made, folder)
            except OSError as error:
                raise _unwritten(error, self.root, part) from None
            finally:
                _remove(made)
        self._sound.add(folder)

    def _publish(self, made: str, folder: str) -> None:
        for _ in range(3):
            try:
                os.rename(made, folder)
                return
            except OSError:
                if not os.path.isdir(folder):
                    raise
            if is_sound(folder):
                return  # another one was first
            # Nobody begins with a damaged one. Who uses it already goes on with its files.
            aside = f"{folder}.new-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                os.rename(folder, aside)
            except OSError:
                continue
            _remove(aside)
        raise OSError(0, "others change it all the time", folder)

    def _sweep(self) -> None:
        """Remove what processes left that were killed meanwhile, and what nobody uses any more."""
        now = time.time()
        for name in os.listdir(self.root):
            path = os.path.join(self.root, name)
            try:
                age = now - os.stat(path).st_mtime
                if ".new-" in name and age > _STALE:
                    _remove(path)
                elif os.path.isdir(path) and age > _UNUSED:
                    aside = f"{path}.new-{os.getpid()}-{os.urandom(4).hex()}"
                    os.rename(path, aside)
                    _remove(aside)
            except OSError:
                continue  # another one sweeps, too


class Turn:
    """Lets one process after the other do something, as far as the filesystem knows locks."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Any = None

    def __enter__(self) -> None:
        try:
            import fcntl

            self._file = open(self._path, "a")
        except (ImportError, OSError):
            return  # all do it then
        end = time.monotonic() + _TURN
        while time.monotonic() < end:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def unpack(content: bytes, folder: str) -> None:
    """Unpack an archive into a new folder, and note what it holds.

    Raises:
        Failed: it holds what would come to lie elsewhere.
    """
    import io
    import zipfile
    import zlib

    contents = {}
    made = {folder}
    os.makedirs(folder)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise Failed("A part of the runtime cannot be unpacked", "", f"{error}") from None
    with archive:
        for entry in archive.infolist():
            name = entry.filename
            if name.endswith("/"):
                continue
            kind = (entry.external_attr >> 16) & 0o170000
            names = name.split("/")
            if kind not in (0, 0o100000) or "\\" in name or {"", ".", ".."} & set(names):
                hint = "it was not made by flow-core: find out who may write to the store"
                raise Failed("A part of the runtime is refused", name, "it lies outside", hint)
            path = os.path.join(folder, *names)
            parent = os.path.dirname(path)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            data = archive.read(entry)
            with open(path, "xb") as file:
                file.write(data)
            if (entry.external_attr >> 16) & 0o100:
                os.chmod(path, 0o755)
            contents[name] = [len(data), zlib.crc32(data)]
    text = json.dumps(contents)
    with open(os.path.join(folder, _CONTENTS), "w") as file:
        file.write(f"{zlib.crc32(text.encode())} {text}")


def is_sound(folder: str) -> bool:
    """Whether a folder is as it was unpacked: after a power failure files may be empty."""
    import zlib

    try:
        with open(os.path.join(folder, _CONTENTS)) as file:
            check, _, text = file.read().partition(" ")
        if int(check) != zlib.crc32(text.encode()):
            return False
        for name, (size, crc) in json.loads(text).items():
            with open(f"{folder}/{name}", "rb", 0) as file:
                data = file.read(size + 1)
            if len(data) != size or zlib.crc32(data) != crc:
                return False
    except (OSError, ValueError):
        return False
    return True


def _places() -> list[str]:
    places = [os.environ["XDG_CACHE_HOME"]] if os.environ.get("XDG_CACHE_HOME") else []
    home = os.path.expanduser("~")
    if os.path.isabs(home) and home != "/":
        places.append(os.path.join(home, ".cache"))
    return [os.path.join(place, "flow") for place in places]


def _own_folder() -> str:
    """Return a folder for temporary files in which nobody else may write."""
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else 0
    root = os.path.join(tempfile.gettempdir(), f"flow-{user}")
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        found = os.lstat(root)
        if found.st_uid != user or found.st_mode & 0o170022 != 0o040000:
            root = tempfile.mkdtemp(prefix="flow-")
        root = os.path.join(root, "runtime")
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        hint = "FLOW_CACHE=/path/of/a/folder/that/can/be/written"
        raise Failed("The runtime cannot be kept", root, why, hint) from None
    return root


def _unwritten(error: OSError, root: str, part: Mapping[str, Any]) -> Failed:
    why, needed = error.strerror or str(error), part.get("unpacked") or part["size"]
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize if hasattr(os, "statvfs") else 0
    return Failed(
        "The runtime cannot be kept",
        root,
        f"{why}: it needs {needed} bytes there, and {free} are free",
        "FLOW_CACHE=/path/of/a/folder/with/space, or let the task have more (disk=…)",
    )


def _remove(folder: str) -> None:
    if os.path.isdir(folder):
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


# --- the start ------------------------------------------------------------------------------------


def load_start(start: Any, folders: list[str]) -> Callable[[Any, list[str]], Any]:
    """Return the function of the runtime that goes on."""
    import importlib

    sys.path[:0] = folders
    sys.argv = [start] if isinstance(start, str) else list(start)
    name = sys.argv[0]
    try:
        found: Callable[[Any, list[str]], Any] = importlib.import_module(name).main
    except Exception as error:
        raise Failed(
            f"The runtime of flow-core does not start: {name} cannot be imported",
            folders[0] if folders else sys.executable,
            f"{type(error).__name__}: {error}",
            "with the variable FLOW_RUNTIME=store nothing of flow-core, and of what it needs, that is "
            "installed there is used",
        ) from error
    return found


# --- parts ----------------------------------------------------------------------------------------


def together(work: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Do something with each of a few items at the same time; raise what one of them raised."""
    import threading

    errors: list[BaseException] = []

    def do(item: Any) -> None:
        try:
            work(item)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def report(parts: Mapping[str, str]) -> int:
    """Tell why the task cannot begin; return the exit status that says so."""
    line = "FLOW-BOOT-FAILED " + json.dumps(parts)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    named = os.environ.get("FLOW_TERMINATION_LOG")
    path = named or "/dev/termination-log"
    if named or os.path.exists(path):
        try:
            with open(path, "w") as file:
                file.write(line + "\n")
        except OSError:
            return FAILED  # it has been told on the standard error
    return FAILED


def end(number: int, _: object) -> None:
    """End as a signal asks: the first process of a container does not do so by itself."""
    raise SystemExit(128 + number)


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _version(parts: int) -> str:
    return ".".join(map(str, sys.version_info[:parts]))


def _machine() -> str:
    name = os.uname().nodename if hasattr(os, "uname") else ""
    return f"{sys.executable} on {name}" if name else sys.executable


def _place(config: Any) -> str:
    known = config if isinstance(config, dict) else {}
    return str(known.get("bucket") or known.get("root") or known.get("container") or "the store")


def _at(place: Place, key: str) -> str:
    return f"{key} in {_place(place.task['config'])}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    sys.exit(main())
