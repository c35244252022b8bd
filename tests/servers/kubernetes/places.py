"""The volumes of a container that is a process: bound to their places in a mount namespace of its own.

Only this container sees them there. A place that the machine does not have is made, empty, as long as a
container needs it. Where the server may not make namespaces (not root, no user namespaces), a container
with volumes cannot start, and says so.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter
from pathlib import Path

from servers.kubernetes.runtime import Mount, StartError, Work


class Places:
    """The places of volumes that were made on this machine, and how many containers need each."""

    def __init__(self) -> None:
        self._needed: Counter[Path] = Counter()

    def take(self, work: Work) -> list[Path]:
        """Make the places that a container needs; return those to `give_back`."""
        mounts = _mounts(work)
        files = {Path(mount.target) for mount in mounts if mount.source.is_file()}
        wanted = [Path(mount.target) for mount in mounts]
        if work.folder and not is_mounted(work.folder, work):
            wanted.append(Path(work.folder))  # a container runtime makes it, too
        taken: list[Path] = []
        for place in wanted:
            # Outer folders first; what the machine has of its own is none of ours.
            for each in reversed([place, *place.parents]):
                if each not in taken and (each in self._needed or not each.exists()):
                    self._make(each, is_file=each in files)
                    self._needed[each] += 1
                    taken.append(each)
        return taken

    def give_back(self, places: list[Path]) -> None:
        """Remove the places that no container needs any more."""
        for place in reversed(places):
            self._needed[place] -= 1
            if not self._needed[place]:
                del self._needed[place]
                with contextlib.suppress(OSError):  # somebody has put something there
                    place.rmdir() if place.is_dir() else place.unlink()

    def _make(self, place: Path, *, is_file: bool) -> None:
        try:
            place.touch() if is_file else place.mkdir(exist_ok=True)
        except OSError as error:
            raise StartError(f"{place} cannot be made on this machine: {error}") from None


def within(work: Work) -> list[str]:
    """Return the words before a command that give it its volumes; none if it has no volumes."""
    mounts = _mounts(work)
    if not mounts:
        return []
    sources = {mount.source: str(mount.source.resolve()) for mount in mounts}
    steps = _staged(mounts, sources)
    for mount in mounts:
        source, target = shlex.quote(sources[mount.source]), shlex.quote(mount.target)
        steps.append(f"mount --bind {source} {target}")
        if mount.read_only:
            steps.append(f"mount -o remount,bind,ro {target}")
    steps.append(f"cd {shlex.quote(work.folder or '/')}")
    script = " && ".join([*steps, 'exec "$@"'])
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *user, "--mount", "--propagation", "private"]
    return [*unshare, "/bin/sh", "-c", script, "container"]


def is_mounted(path: str, work: Work) -> bool:
    """Say whether a path is in a volume."""
    return any(
        Path(path) == Path(mount.target) or Path(mount.target) in Path(path).parents
        for mount in work.mounts
    )


def _staged(mounts: list[Mount], sources: dict[Path, str]) -> list[str]:
    """Return steps that bring sources out of places which are about to be covered, as ``/tmp`` may be."""
    targets = [Path(mount.target) for mount in mounts]
    if not any(target in Path(source).parents for target in targets for source in sources.values()):
        return []
    free = (Path("/mnt"), Path("/srv"), Path("/media"))
    stage = next(each for each in free if not {each, *each.parents} & {*targets})
    steps = [f"mount -t tmpfs stage {stage}"]
    for number, (source, place) in enumerate(list(sources.items())):
        make = "mkdir" if source.is_dir() else "touch"
        steps.append(f"{make} {stage}/{number}")
        steps.append(f"mount --bind {shlex.quote(place)} {stage}/{number}")
        sources[source] = f"{stage}/{number}"
    return steps


def _mounts(work: Work) -> list[Mount]:
    """Return all that is bound, outer places before inner ones."""
    hosts = [Mount(work.hosts, "/etc/hosts")] if work.hosts else []
    return sorted([*work.mounts, *hosts], key=lambda mount: mount.target.count("/"))
