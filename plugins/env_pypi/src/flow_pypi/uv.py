"""Running uv."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from flow_core.api import EnvironmentWork, NoEnvironment
from flow_pypi.sources import Sources

_one_at_a_time = threading.Lock()  # sysconfig, which finds uv, is not ready for threads at first
_ALONE = {"PYTHONPATH": "", "PYTHONHOME": ""}  # what is there is no part of the environment


def uv_program() -> str:
    """Return the path of uv.

    Raises:
        NoEnvironment: it is not there.
    """
    try:
        from uv import find_uv_bin

        with _one_at_a_time:
            return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise NoEnvironment(
            "@pypi needs uv, which is not installed here",
            where="environment provider 'pypi'",
            why=str(error),
            hint="pip install uv",
        ) from None


def run_uv(
    work: EnvironmentWork,
    words: Sequence[str],
    sources: Sources | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    quiet: bool = True,
    heard: Callable[[str], None] | None = None,
) -> str:
    """Run uv; return what it wrote to its standard output.

    Its cache lies beside the environments, so that packages can be linked from there. It is quiet
    unless its lines are heard.

    Raises:
        CommandFailed: it failed.
    """
    given = {
        **_ALONE,
        "UV_CACHE_DIR": os.path.join(work.cache, "uv"),
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        **(sources.variables() if sources else {}),
        **(variables or {}),
    }
    offline = ["--offline"] if work.offline else []
    if sources and sources.no_index:
        words = [*words, "--no-index"]
    # In a folder without a project: the lock must not depend on where the launcher was started.
    return work.run(
        [uv_program(), *(["--quiet"] if quiet and heard is None else []), *offline, *words],
        folder=work.cache,
        variables=given,
        heard=heard,
    )


def lines(texts: Iterable[str]) -> str:
    """Return a text with one line for each."""
    return "".join(f"{text}\n" for text in texts)
