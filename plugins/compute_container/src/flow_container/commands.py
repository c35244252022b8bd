"""What a task asks of its container, and the words of ``podman run`` or ``docker run`` for it."""

from __future__ import annotations

import fnmatch
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flow_container import ContainerOptions, listed, words_of
from flow_container.engine import Engine
from flow_core.api import DefinitionError, UsageError
from flow_remote.refusals import refused_setting


class Wanted(NamedTuple):
    """What a step asks of its containers, after the settings: see `flow_container.ContainerOptions`.

    Attributes:
        runtime: ``''`` = the one of this machine.
        cpu, memory, gpu, shared_memory: 0 = no limit, or none.
    """

    image: str
    runtime: str
    pull: str
    network: str
    user: str
    cpu: float
    memory: float
    gpu: int
    shared_memory: float
    volumes: tuple[str, ...]
    variables: tuple[str, ...]
    options: tuple[str, ...]


class Member(NamedTuple):
    """One container: of a task, or of one member of a gang.

    Attributes:
        name: of the container.
        command: the words to execute in it.
        variables: environment variables, which hold no secrets.
        labels: what finds it again.
        network: overrides that of `Wanted`; ``''`` = it does not.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    labels: Mapping[str, str]
    network: str = ""


CACHE = "/run/flow-cache"
"""Where containers have the folder with runtimes that tasks before them have unpacked."""


def default_image() -> str:
    """Return the name of the image that has this process's version of Python."""
    major, minor = sys.version_info[:2]
    return f"python:{major}.{minor}"


def check_settings(setting: Callable[[str], Any]) -> None:
    """Refuse settings that the options of the same names could not have.

    Args:
        setting: returns the value of a setting.

    Raises:
        SettingsError: one is such.
    """
    for name in ("image", "volumes", "variables", "options"):
        value = setting(f"container_{name}")
        try:
            ContainerOptions(**({name: value} if value else {}))
        except DefinitionError as error:
            raise refused_setting(error, name, f"container_{name}") from None


def settle(
    options: Mapping[str, Any], resources: Mapping[str, float], setting: Callable[[str], Any]
) -> Wanted:
    """Return what is asked for, where the options say nothing by the settings.

    Args:
        options: `flow_container.ContainerOptions.to_plan`.
        resources: amounts by name.
        setting: returns the value of a setting.
    """

    def text(name: str) -> str:
        return str(options.get(name) or setting(f"container_{name}") or "")

    def texts(name: str) -> tuple[str, ...]:
        general = listed(str(setting(f"container_{name}") or ""))
        return (*general, *options.get(name, ()))

    def amount(name: str) -> float:
        return resources[name] if name in resources else float(setting(f"container_{name}") or 0)

    return Wanted(
        image=text("image") or default_image(),
        runtime=text("runtime"),
        pull=text("pull"),
        network=text("network"),
        user=text("user"),
        cpu=amount("cpu"),
        memory=amount("memory"),
        gpu=int(resources.get("gpu", 0)),
        shared_memory=resources.get("shared_memory", 0.0),
        volumes=texts("volumes"),
        variables=texts("variables"),
        options=(*words_of(setting("container_options") or ""), *options.get("options", ())),
    )


def run_words(
    engine: Engine,
    wanted: Wanted,
    member: Member,
    *,
    mounts: Sequence[str] = (),
    cache: str = "",
    folder: str | None = None,
    init: bool = True,
) -> list[str]:
    """Return the arguments by which a container starts in the background.

    Args:
        engine: the runtime.
        wanted: what is asked for.
        member: the container.
        mounts: folders of this machine that it has at the same paths.
        cache: folder of this machine for what tasks unpack before they begin, so that those after
            them find it; used by the person's own user only. ``''`` = each does it for itself.
        folder: working folder in it; None = that of the image.
        init: whether a small first process of the runtime's own reaps what tasks leave.

    Raises:
        UsageError: a volume names a folder that is not there.
    """
    words = ["run", "--detach", "--pull", "never", "--name", member.name]
    words += ["--init"] if init else []
    words += ["--stop-signal", "SIGTERM", *engine.log_options]
    words += _pairs("--label", member.labels)
    words += _limits(engine, wanted)
    words += _places(engine, wanted, mounts, folder)
    words += _person(engine, wanted)
    if cache and not wanted.user:  # another user could not write there
        words += ["--volume", f"{cache}:{CACHE}", "--env", f"FLOW_CACHE={CACHE}"]
    network = member.network or wanted.network
    words += ["--network", network] if network else []
    words += _pairs("--env", member.variables)
    words += [word for name in let_through(wanted.variables) for word in ("--env", name)]
    program, *arguments = member.command
    return [*words, *wanted.options, "--entrypoint", program, wanted.image, *arguments]


def let_through(names: Sequence[str]) -> list[str]:
    """Return the variables of this process that are named, by name or pattern, sorted.

    Their values are not on the command line: the runtime takes them from its own environment.
    """
    return sorted(n for n in os.environ if any(fnmatch.fnmatchcase(n, name) for name in names))


def _pairs(option: str, values: Mapping[str, str]) -> list[str]:
    return [word for name in sorted(values) for word in (option, f"{name}={values[name]}")]


def _limits(engine: Engine, wanted: Wanted) -> list[str]:
    words: list[str] = []
    if wanted.memory:
        size = f"{max(int(wanted.memory), 6)}m"  # the least that the runtimes take
        words += ["--memory", size, "--memory-swap", size]  # no swap beside it
    if wanted.cpu:
        words += ["--cpus", f"{wanted.cpu:g}"]
    if wanted.shared_memory:
        words += ["--shm-size", f"{max(int(wanted.shared_memory), 1)}m"]
    return words + (engine.gpu_options(wanted.gpu) if wanted.gpu else [])


def _places(engine: Engine, wanted: Wanted, mounts: Sequence[str], folder: str | None) -> list[str]:
    volumes = [*(f"{path}:{path}" for path in mounts), *map(_volume, wanted.volumes)]
    words = [word for volume in dict.fromkeys(volumes) for word in ("--volume", volume)]
    if engine.selinux:
        words += ["--security-opt", "label=disable"]  # relabelling would change the person's files
    return words + (["--workdir", folder] if folder else [])


def _volume(text: str) -> str:
    """Return a volume in full: ``/data`` stands for ``/data:/data``; names are left as they are."""
    source, *rest = text.split(":")
    if source.startswith(("/", "~", ".")):
        source = os.path.abspath(os.path.expanduser(source))
        if not os.path.exists(source):
            raise UsageError(
                f"The volume '{text}' cannot be mounted",
                where="@container, option 'volumes'",
                why=f"there is no {source}",
                hint=f"mkdir -p {shlex.quote(source)}",
            )
    return ":".join([source, *(rest or [source])])


def _person(engine: Engine, wanted: Wanted) -> list[str]:
    if wanted.user == "image":
        return []
    if wanted.user:
        return ["--user", wanted.user]
    words = engine.user_options
    # Who has no entry among the users of the image would have no home that can be written to.
    return words if words[-1] == "0:0" else [*words, "--env", "HOME=/tmp"]
