"""The images of a run: each is looked for once, and fetched where the policy says so."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import NamedTuple

from flow_container.engine import PODMAN, Answer, Engine


class Image(NamedTuple):
    """What came of looking for an image.

    Attributes:
        name: as the step names it.
        platform: what it is for: ``linux/amd64``; ``''`` where it is not there.
        fault: why there is none, in the runtime's own words; ``''`` = it is there.
        hint: what to type then.
    """

    name: str
    platform: str = ""
    fault: str = ""
    hint: str = ""


class Images:
    """Looks for images in threads of its own. For one run: what was asked for once is known."""

    def __init__(self) -> None:
        self._closed = False
        self._pulls: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str, str], Image] = {}
        self._waiting: dict[tuple[str, str, str], list[Callable[[Image], object]]] = {}

    def when_there(
        self,
        engine: Engine,
        name: str,
        policy: str,
        then: Callable[[Image], object],
        fetching: Callable[[], object],
    ) -> None:
        """Call ``then`` with the image: at once where it is known, else later in another thread.

        Args:
            engine: the runtime.
            name: of the image.
            policy: ``missing``, ``always`` or ``never``.
            then: must not raise, nor take long.
            fetching: called before when it is fetched; as ``then``.
        """
        key = (engine.name, name, policy)
        with self._lock:
            known = self._found.get(key)
            if known is None:
                others = self._waiting.setdefault(key, [])
                others.append(then)
                first = len(others) == 1
        if known is not None:
            then(known)
        elif first:
            self._look(engine, key, fetching)
        else:
            fetching()

    def _look(
        self,
        engine: Engine,
        key: tuple[str, str, str],
        fetching: Callable[[], object],
    ) -> None:
        _, name, policy = key
        image = None if policy == "always" else _here(engine, name)
        if image is not None or policy == "never":
            self._settle(key, image or _missing(engine, name))
            return
        fetching()
        thread = threading.Thread(target=self._fetch, args=(engine, key), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fetch(self, engine: Engine, key: tuple[str, str, str]) -> None:
        _, name, _ = key
        try:
            said, status = self._pull(engine, name)
        except OSError as error:
            said, status = f"{engine.path}: {error.strerror}", 127
        if status == 0:
            self._settle(key, _here(engine, name) or Image(name))
        else:
            self._settle(key, _not_fetched(engine, name, said))

    def _pull(self, engine: Engine, name: str) -> tuple[str, int]:
        """Fetch an image, for as long as it takes; return what was said, and the exit status."""
        with self._lock:
            if self._closed:
                return "the run was ended", 1
            process = subprocess.Popen(
                [engine.path, "pull", "--quiet", name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._pulls.append(process)
        _, error = process.communicate()
        return error.decode(errors="replace"), process.returncode

    def close(self) -> None:
        """Fetch nothing any more: programs that do so are ended."""
        with self._lock:
            self._closed = True
            for process in self._pulls:
                if process.poll() is None:
                    process.terminate()
        for thread in self._threads:
            thread.join()

    def _settle(self, key: tuple[str, str, str], image: Image) -> None:
        with self._lock:
            self._found[key] = image
            waiting = self._waiting.pop(key)
        for then in waiting:
            then(image)


def _here(engine: Engine, name: str) -> Image | None:
    answer = engine.call("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", name)
    return Image(name, answer.out.strip()) if answer.ok else None


def _missing(engine: Engine, name: str) -> Image:
    return Image(
        name,
        fault=f"{engine.name} has no image '{name}', and pull='never' forbids to fetch it",
        hint=f"{engine.name} pull {name}",
    )


def _not_fetched(engine: Engine, name: str, said: str) -> Image:
    hint = f"{engine.name} pull {name}"
    if engine.name == PODMAN and "short-name" in said:
        hint = f"name its registry, too: image=REGISTRY/{name}"
    words = Answer(1, "", said).words
    return Image(name, fault=f"image '{name}' cannot be fetched: {words}", hint=hint)
