"""What makes a forked process like a fresh one.

The work is shared out: `become_template` does once, in the server, all that can be done ahead;
`enter` does the rest in each child; `leave` ends a child as an interpreter ends.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from io import BufferedRandom, BufferedWriter, TextIOWrapper
from typing import Any, NoReturn, TextIO

from flow_compute_local import processes
from flow_compute_local.protocol import Order

_ALL_SIGNALS = signal.valid_signals()
_OWN_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
}

SERVER_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
"""The signals that the server handles in a way of its own."""

_TASK_HANDLERS = [
    (int(number), _OWN_DEFAULTS.get(number, int(signal.SIG_DFL))) for number in SERVER_SIGNALS
]

PATIENCE = 0.2
"""Seconds that threads of a finished step get before it is said that its process waits for them."""

_SHOWN_THREADS = 5


def become_template() -> list[Any]:
    """Free the server, which was just forked, of the launcher's state.

    Returns:
        objects that must stay alive, since their end would write what the launcher has buffered.
    """
    gc.disable()  # a collection would copy every page that is shared with the launcher
    reset_signals()
    forget_exit_handlers()
    _forget_multiprocessing()
    return renew_streams()


def reset_signals() -> None:
    """Set the handlers that a starting interpreter sets. What is ignored stays so, as in exec."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _ALL_SIGNALS - {signal.SIGKILL, signal.SIGSTOP}:
        default = _OWN_DEFAULTS.get(number, signal.SIG_DFL)
        if signal.getsignal(number) not in (default, signal.SIG_IGN):
            signal.signal(number, default)


def forget_exit_handlers() -> None:
    """Drop what others want to run at exit, except what the standard library needs in any process.

    Its modules register once, when they are imported; a task that uses them must find them as if
    it had imported them itself.
    """
    atexit._clear()
    weakref_finalize = getattr(sys.modules.get("weakref"), "finalize", None)
    if weakref_finalize is not None:
        for finalizer in list(weakref_finalize._registry):
            finalizer.atexit = False  # temporary folders of the launcher, for example
        weakref_finalize._registered_with_atexit = False
    if "logging" in sys.modules:
        atexit.register(sys.modules["logging"].shutdown)


def _forget_multiprocessing() -> None:
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        util._run_after_forkers()
        atexit.register(util._exit_function)
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._fd = None
        tracker._resource_tracker._pid = None


def renew_streams() -> list[Any]:
    """Build the standard streams anew, with empty buffers; return the old ones.

    Output is flushed by lines, so that it can be watched and survives a crash.
    """
    old = [sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__]
    sys.stdin = sys.__stdin__ = _stream(0, "r", sys.__stdin__)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w", sys.__stdout__)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w", sys.__stderr__)  # type: ignore[misc]
    return old


def _stream(number: int, mode: str, old: TextIO | None) -> Any:
    # The interpreter derived these from its environment when it started.
    encoding = getattr(old, "encoding", None) or sys.getdefaultencoding()
    errors = getattr(old, "errors", None) or ("backslashreplace" if number == 2 else "strict")
    buffering = 1 if mode == "w" else -1
    stream: Any = open(number, mode, buffering, encoding, errors, closefd=False)  # noqa: SIM115
    stream.buffer.raw.name = ("<stdin>", "<stdout>", "<stderr>")[number]
    return stream


def enter(order: Order, server: int, name: str, stdout: int, stderr: int) -> None:
    """Make this process, forked from ``server`` with all signals blocked, that of a task."""
    processes.die_with(server)
    processes.rename(name)
    os.setpgid(0, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    _default_handlers()
    _set_variables(order)
    if order["folder"] is not None:
        os.chdir(order["folder"])
    reseed()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined] # Python < 3.13 does not
    gc.enable()


def _default_handlers() -> None:
    """Undo what the server set for itself; its own are the only handlers that are not default."""
    signal.set_wakeup_fd(-1)
    for number, handler in _TASK_HANDLERS:
        processes.set_handler(number, handler)
    processes.set_mask(signal.SIG_SETMASK, ())


def _set_variables(order: Order) -> None:
    for name, value in task_variables(order).items():
        os.environ[name] = value
    if "TZ" in order["variables"]:
        time.tzset()


def task_variables(order: Order) -> dict[str, str]:
    """Return the environment variables that a task has beyond those of the launcher."""
    known = {processes.TASK_ID: order["name"], processes.MARK: order["mark"]}
    return {**known, **order["variables"]}


def reseed() -> None:
    """Give the shared generators of random numbers new states.

    `random` does so itself at each fork, `tempfile` and `secrets` when they are used.
    """
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()
    if uuid := sys.modules.get("uuid"):
        _renew_uuid_state(uuid)


def _renew_uuid_state(uuid: Any) -> None:
    # The C library keeps its clock sequence through a fork: siblings would make equal ids in one
    # microsecond. Without it, `uuid1` draws a random sequence each time.
    uuid._generate_time_safe = None
    uuid._last_timestamp = None
    # A node that is no network card's is a random number, marked by this bit.
    if uuid._node is not None and (uuid._node >> 40) & 1:
        uuid._node = None


def leave(status: int) -> NoReturn:
    """End this process as an interpreter ends, without touching what the launcher left in it."""
    _carry_out(_watch_threads)
    _carry_out(threading._shutdown)  # type: ignore[attr-defined]
    _carry_out(atexit._run_exitfuncs)
    _carry_out(flush_files)
    os._exit(status)


def _watch_threads() -> None:
    """Let it be said for whom this process waits, since a step that has ended tells nothing else.

    Only time can tell: idle threads of a pool end when the interpreter asks them to.
    """
    if _threads_to_wait_for():
        threading.Thread(target=_tell_of_threads, name="flow-leave", daemon=True).start()


def _tell_of_threads() -> None:
    time.sleep(PATIENCE)
    waiting = _threads_to_wait_for()
    if not waiting:
        return
    count = f"{len(waiting)} thread{'s' if len(waiting) > 1 else ''}"
    names = ", ".join(thread.name for thread in waiting[:_SHOWN_THREADS])
    more = ", …" if len(waiting) > _SHOWN_THREADS else ""
    text = f"The step is finished; its process waits for {count}: {names}{more}\n"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be closed
        sys.stderr.write(text)
        sys.stderr.flush()


def _threads_to_wait_for() -> list[threading.Thread]:
    main = threading.main_thread()
    return [t for t in threading.enumerate() if not t.daemon and t is not main and t.is_alive()]


def _carry_out(action: Callable[[], object]) -> None:
    try:
        action()
    except BaseException:  # as at the end of any interpreter: shown, and the next goes on
        _show_exception()


def _show_exception() -> None:
    import traceback  # some milliseconds, which a task that ends well need not pay

    with contextlib.suppress(OSError, ValueError):  # the task may have closed its stderr
        traceback.print_exc()


def run(attempt: Callable[[], int]) -> int:
    """Call ``attempt``; return the exit status that an interpreter would end with."""
    try:
        return attempt()
    except SystemExit as end:
        return _status_of(end.code)
    except BaseException:
        _show_exception()
        return 1


def _status_of(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    os.write(2, f"{code}\n".encode(errors="backslashreplace"))
    return 1


def flush_files() -> None:
    """Write what is still buffered in files that were opened since the fork.

    An interpreter does so when it takes its objects down, which a forked process must not: most of
    them are the launcher's. Those are frozen (`gc.freeze`), so the collector does not list them.
    """
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    kinds = (TextIOWrapper, BufferedWriter, BufferedRandom)
    opened = [thing for thing in gc.get_objects() if type(thing) in kinds]
    for kind in kinds:  # text first: it empties into the buffers
        for file in opened:
            if type(file) is kind:
                _flush(file)


def _flush(file: Any) -> None:
    # It may be closed, or its disk full, or it may be no file at all.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        file.flush()
