"""Whether forking is safe here: a pure decision over what was observed of the process.

A forked child has only the thread that forked. Locks that other threads held stay locked for ever
in it, and some libraries (CUDA, gRPC, the frameworks of macOS) do not survive it at all.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

_POOLS = ("numpy", "scipy")
"""Libraries whose native threads (OpenBLAS, MKL) shut down before a fork and start again after."""

_SURVIVING = ("jemalloc_bg_thd",)
"""Native threads whose library takes its locks before a fork and starts anew in the child: that of
jemalloc, which pyarrow brings, and with it pandas."""

_MANY = 3
"""So many threads are named, no more."""

_READ_AT_START = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_")


class Observation(NamedTuple):
    """What the decision depends on.

    Attributes:
        platform: as `sys.platform`.
        has_fork: whether there is `os.fork`.
        on_main_thread: whether the caller is the main thread.
        threads: names of the other Python threads.
        process_name: name of the main thread in the operating system.
        native_threads: such names of the threads that are not Python's.
        modules: names of the imported modules.
        cuda: why CUDA seems to be in use, or None.
    """

    platform: str = "linux"
    has_fork: bool = True
    on_main_thread: bool = True
    threads: tuple[str, ...] = ()
    process_name: str = "python"
    native_threads: tuple[str, ...] = ()
    modules: Collection[str] = ()
    cuda: str | None = None


def unsafe_reasons(seen: Observation | None = None) -> list[str]:
    """Return why this process must not fork tasks, most telling first; empty = it may."""
    if seen is None:
        seen = observe()
    if not seen.has_fork:
        return ["this platform cannot fork"]
    reasons = []
    if seen.platform == "darwin":
        reasons.append("frameworks of macOS do not survive a fork")
    if not seen.on_main_thread:
        reasons.append("the run was not started from the main thread")
    reasons += _running("thread", seen.threads)
    reasons += _native_reasons(seen)
    if seen.cuda:
        reasons.append(seen.cuda)
    if "grpc" in seen.modules:
        reasons.append("gRPC is loaded, which does not survive a fork")
    return reasons


def _native_reasons(seen: Observation) -> list[str]:
    explained = any(pool in seen.modules for pool in _POOLS)
    harmless = {*_SURVIVING, *([seen.process_name] if explained else ())}
    names = {name for name in seen.native_threads if name not in harmless}
    return _running("native thread", sorted(names))


def _running(kind: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    told = [f"'{name}'" for name in names[:_MANY]] + ["others"] * (len(names) > _MANY)
    if len(told) == 1:
        return [f"{kind} {told[0]} is running"]
    return [f"{kind}s {', '.join(told[:-1])} and {told[-1]} are running"]


def observe() -> Observation:
    """Observe this process."""
    here = threading.current_thread()
    others = [thread for thread in threading.enumerate() if thread is not here]
    known = {thread.native_id for thread in (here, *others)} | {os.getpid()}
    return Observation(
        platform=sys.platform,
        has_fork=hasattr(os, "fork"),
        on_main_thread=here is threading.main_thread(),
        threads=tuple(t.name for t in others if t is not threading.main_thread()),
        process_name=_thread_name(os.getpid()),
        native_threads=tuple(_thread_name(t) for t in _thread_ids() if t not in known),
        modules=sys.modules,
        cuda=_cuda_in_use(),
    )


def needs_fresh_interpreter(variables: Mapping[str, str]) -> bool:
    """Whether some of ``variables`` only count when they are there as a process starts."""
    return any(
        name.startswith(_READ_AT_START) and os.environ.get(name) != value
        for name, value in variables.items()
    )


def _thread_ids() -> list[int]:
    try:
        return [int(entry) for entry in os.listdir("/proc/self/task")]
    except OSError:
        return []


def _thread_name(number: int) -> str:
    try:
        with open(f"/proc/self/task/{number}/comm", "rb") as file:
            return file.read().decode(errors="replace").rstrip("\n")
    except OSError:
        return "?"


def _cuda_in_use() -> str | None:
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "CUDA is initialised, which does not survive a fork"
    if any(target.startswith("/dev/nvidia") for target in _open_files()):
        return "a GPU device is open, which does not survive a fork"
    return None


def _open_files() -> list[str]:
    try:
        entries = os.listdir("/proc/self/fd")
    except OSError:
        return []
    targets = []
    for entry in entries:
        try:
            targets.append(os.readlink(f"/proc/self/fd/{entry}"))
        except OSError:  # the descriptor by which the folder was listed
            continue
    return targets
