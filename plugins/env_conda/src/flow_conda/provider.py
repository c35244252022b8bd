"""The environment provider ``conda``: rattler solves, fetches and installs, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any, NamedTuple

from flow_conda import trouble
from flow_conda.archives import archive_path, public_url
from flow_conda.ontop import install_pypi, pip_packages, with_pypi
from flow_conda.platforms import subdir_of
from flow_conda.specs import (
    Spec,
    is_conda_lock,
    python_spec,
    read_environment_file,
    read_spec,
)
from flow_core.api import (
    CommandFailed,
    EnvironmentCapabilities,
    EnvironmentRequest,
    EnvironmentWork,
    FlowError,
    Interpreter,
    NoEnvironment,
    this_platform,
)

FORMAT = 1
_DEFAULT_CHANNEL = "conda-forge"
_LOOK = 0.05  # seconds between looks at what the worker tells
_NAMES = {"name", "version", "build", "build_number", "subdir", "fn", "url", "channel", "sha256"}


class Asked(NamedTuple):
    """What a request means.

    Attributes:
        specs: packages of conda, as it writes them; Python is one of them.
        channels: where they come from, the first one first.
        pip: requirements of an ``environment.yml`` that pip fulfils.
    """

    specs: list[str]
    channels: list[str]
    pip: list[str]


class CondaEnvironment:
    """Makes conda environments. A lock names each package with its URL and its hash.

    What was fetched is kept in the cache, and in the datastore where the setting ``mirror_packages``
    is on: an environment is built from there, without network and without solving.
    """

    capabilities = EnvironmentCapabilities(
        offline=True, other_platforms=True, exports=True, mirrors=True, origins=True
    )

    def origins(self, request: EnvironmentRequest, work: EnvironmentWork) -> Any:
        """Return the channels that settings name, what is said of machines, and indexes of PyPI."""
        options = request.options
        channels = [] if options.get("channels") else default_channels(work)
        told = {n: v for n, v in os.environ.items() if n.startswith("CONDA_OVERRIDE_")}
        found = {"channels": [public_url(_channel(c)) for c in channels], "machine": told}
        if options.get("pypi") or options.get("environment"):
            from flow_pypi.sources import find_sources

            found["pypi"] = find_sources(options.get("pypi", {}), work).names()
        return found

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        """Let rattler say what it would install on the platform of the request."""
        platform = subdir_of(request.platform)
        job: dict[str, Any] = {"platform": platform, "required": list(request.requirements)}
        name = request.options.get("environment")
        pip: list[str] = []
        if name and is_conda_lock(request.files[name]):
            check_alone(request.options, name)
            work.tell(f"reading {name}")
            job |= {"do": "read", "text": request.files[name], "name": name}
        else:
            asked = read_request(request, work)
            pip = asked.pip
            work.tell(f"solving for {platform}: {', '.join(asked.specs[:4])}")
            job |= {"do": "solve", "specs": asked.specs, "channels": asked.channels}
        found = _run_worker(job, work)
        lock = {"format": FORMAT, "platform": platform, "packages": found["packages"]}
        return with_pypi(lock, [*pip, *found["left"]], request, work)

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        """Fetch the packages that the cache lacks, and link them into the environment."""
        check(lock)
        here = subdir_of(this_platform())
        if lock["platform"] != here:
            raise trouble.other_platform(lock["platform"], here)
        work.tell(f"making an environment of {len(lock['packages'])} packages", 0.0)
        _Building(lock, folder, work).build()
        programs = ["python.exe"] if os.name == "nt" else ["bin", "python"]
        python = os.path.join(folder, *programs)
        if "pypi" in lock:
            install_pypi(python, lock["pypi"], work)
        work.tell("installed", 1.0)
        return Interpreter(python, {"CONDA_PREFIX": folder, **_variables(folder)})

    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        """Return ``conda-lock.yml``, which ``conda-lock install`` takes."""
        check(lock)
        return {"conda-lock.yml": _exported(lock)}


def check_alone(options: Mapping[str, Any], name: str) -> None:
    """Raise `NoEnvironment` where something is asked for beside a lock, which says all."""
    beside = sorted({"packages", "python", "channels", "pypi"} & {*options})
    if beside:
        raise NoEnvironment(
            f"'{name}' is a lock, and '{beside[0]}' asks for something beside it",
            where=trouble.PROVIDER,
            why="a lock says all that is installed",
            hint=f"leave '{beside[0]}' out, or name the environment.yml of which the lock was made",
        )


def read_request(request: EnvironmentRequest, work: EnvironmentWork) -> Asked:
    """Return what a request means: its own packages stand over those of its ``environment.yml``."""
    options = request.options
    packages: dict[str, Spec] = {}
    channels: Sequence[str] = options.get("channels", ())
    pip: Sequence[str] = ()
    name = options.get("environment")
    if name:
        file = read_environment_file(request.files[name], name)
        packages.update(file.packages)
        channels, pip = channels or file.channels, file.pip
    packages.update((s.name, s) for s in map(read_spec, options.get("packages", ())))
    python = options.get("python") or options.get("pypi", {}).get("python")
    if python or "python" not in packages:
        packages["python"] = python_spec(python or request.python)
    return Asked(
        sorted(spec.text for spec in packages.values()),
        [_channel(c) for c in channels or default_channels(work)],
        list(pip),
    )


def default_channels(work: EnvironmentWork) -> list[str]:
    """Return the channels of who names none."""
    given = work.setting("conda_channels") or os.environ.get("CONDA_CHANNELS", "")
    return [c for c in re.split(r"[,\s]+", given) if c] or [_DEFAULT_CHANNEL]


def _channel(name: str) -> str:
    """Return a channel as rattler takes it: a folder is absolute, others are as they are."""
    path = os.path.expanduser(name)
    is_folder = name.startswith((".", "/", "~")) or (
        "://" not in name and os.path.isdir(os.path.join(path, "noarch"))
    )
    return "file://" + os.path.abspath(path) if is_folder else name


def check(lock: Mapping[str, Any]) -> None:
    """Raise `NoEnvironment` unless this is a lock that `prepare` can read."""
    packages = lock.get("packages")
    sound = (
        lock.get("format") == FORMAT
        and isinstance(lock.get("platform"), str)
        and isinstance(lock.get("pypi", ""), str)
        and isinstance(packages, list)
        and all(isinstance(p, dict) and {*p} >= _NAMES for p in packages)
    )
    if not sound:
        raise trouble.no_lock(lock.get("format"))


class _Building:
    """One environment on its way.

    Args:
        lock: of it.
        folder: where it is made.
        work: see `flow_core.api.EnvironmentWork`.
    """

    def __init__(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> None:
        self._lock = lock
        self._folder = folder
        self._work = work
        self._by_hash = {p["sha256"]: p for p in lock["packages"]}

    def build(self) -> None:
        """Bring the packages together, and link them."""
        keeps = self._work.setting("mirror_packages")
        why_not = ""
        if keeps or self._work.offline:
            why_not = self._from_mirror(self._missing())
        answer = self._install()
        if answer["failed"] and not why_not:
            why_not = self._from_mirror(answer["failed"])
            answer = answer if why_not else self._install()
        for data in answer["failed"].values():
            error = trouble.error_of(data)
            error.why = "\n".join(filter(None, (error.why, why_not)))
            raise error
        if keeps and self._work.mirror is not None:
            for sha256, package in self._by_hash.items():
                self._work.check()
                self._work.mirror.keep(sha256, archive_path(self._work.cache, package))

    def _missing(self) -> list[str]:
        cache = self._work.cache
        return [h for h, p in self._by_hash.items() if not os.path.isfile(archive_path(cache, p))]

    def _from_mirror(self, hashes: Sequence[str] | Mapping[str, Any]) -> str:
        """Fetch what the mirror has; say why it could not be asked, or ``""``.

        What cannot be had there is had elsewhere, or is an error that says why: not that of the mirror.
        """
        mirror = self._work.mirror
        if mirror is None:
            return ""
        for sha256 in hashes:
            self._work.check()
            package = self._by_hash[sha256]
            path = archive_path(self._work.cache, package)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                mirror.fetch(sha256, path)
            except FlowError as error:
                return f"nor does the datastore give '{package['name']}': {error.what}"
        return ""

    def _install(self) -> dict[str, Any]:
        job = {
            "do": "install",
            "packages": self._lock["packages"],
            "prefix": self._folder,
            "platform": self._lock["platform"],
            "channels": [_channel(c) for c in default_channels(self._work)],
        }
        return _run_worker(job, self._work)


def _variables(folder: str) -> dict[str, str]:
    """Return the environment variables that packages of an environment have declared."""
    found: dict[str, str] = {}
    place = os.path.join(folder, "etc", "conda", "env_vars.d")
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    for name in names:
        if name.endswith(".json"):
            with open(os.path.join(place, name), encoding="utf-8") as file:
                found.update({str(k): str(v) for k, v in json.load(file).items()})
    return found


# --- the worker ---------------------------------------------------------------------------------


def _exported(lock: Mapping[str, Any]) -> str:
    """Return the text of ``conda-lock.yml``. Whoever imports its library has more than that."""
    pip = pip_packages(lock["pypi"]) if "pypi" in lock else []
    with tempfile.TemporaryDirectory() as folder:
        command = _command({"do": "export", "lock": lock, "pip": pip, "cache": folder}, folder)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise trouble.failed(done.stderr)
    return str(_answer(done.stdout)["text"])


def _run_worker(job: Mapping[str, Any], work: EnvironmentWork) -> dict[str, Any]:
    """Let the worker do a job, and pass on what it tells meanwhile.

    Raises:
        NoEnvironment: it could not.
    """
    with tempfile.TemporaryDirectory(prefix="flow-conda-") as folder:
        news = os.path.join(folder, "news")
        command = _command(
            {**job, "news": news, "cache": work.cache, "offline": work.offline}, folder
        )
        with ThreadPoolExecutor(1) as pool:
            # In that folder no module lies that could be meant by mistake.
            future = pool.submit(work.run, command, folder=folder)
            _pass_on(future, news, work)
            try:
                return _answer(future.result())
            except CommandFailed as error:
                full = trouble.is_full(error.output)
                raise (
                    trouble.disk_full(work.cache) if full else trouble.failed(error.output)
                ) from None


def _command(job: Mapping[str, Any], folder: str) -> list[str]:
    path = os.path.join(folder, "job.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(job, file)
    return [sys.executable, "-m", "flow_conda.worker", path]


def _answer(text: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(text.rstrip().rpartition("\n")[2])
    if "error" in answer:
        raise trouble.error_of(answer["error"])
    return answer


def _pass_on(future: Future[str], news: str, work: EnvironmentWork) -> None:
    """Tell what the worker tells, until it has ended."""
    read = 0
    while True:
        with suppress(NotYet, FlowError, KeyboardInterrupt):
            future.result(_LOOK)
        ended = future.done()
        if os.path.exists(news):
            with open(news, encoding="utf-8") as file:
                file.seek(read)
                lines = file.read().rpartition("\n")[0].splitlines()
                read += sum(len(line.encode()) + 1 for line in lines)
            for line in lines:
                work.tell(*json.loads(line))
        if ended:
            return
        work.check()
