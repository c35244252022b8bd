"""Steps of the tests of local compute; named by tests, found by the processes of tasks."""

import atexit
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid


def nothing(task):
    return 0


def describe(task):
    """Write what a process can see of itself."""
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
    handlers = {s.name: str(signal.getsignal(s)) for s in signal.Signals if s not in (9, 19)}
    handlers["SIGINT"] = handlers["SIGINT"].split(" at ")[0]
    facts = {
        "signals": handlers,
        "blocked": [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "wakeup": signal.set_wakeup_fd(-1),
        "descriptors": sorted(
            int(fd)
            for fd, t in fds.items()
            if fd != "0" and not t.startswith(("/proc", "/dev/null"))
        ),
        "leads_group": os.getpgrp() == os.getpid(),
        "input": os.read(0, 10).decode(),
        "streams": [
            (s.name, s.mode, s.encoding, s.errors, s.newlines)
            for s in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "original": sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__,
        "threads": [thread.name for thread in threading.enumerate()],
        "gc": (gc.isenabled(), gc.get_threshold()),
        "marker": os.environ["FLOW_TASK_ID"],
        "umask": os.umask(0o22),
        "cwd": os.getcwd(),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
    }
    print(json.dumps(facts))
    return 0


def surroundings(task):
    main = sys.modules["__main__"]
    print(json.dumps({"argv": sys.argv, "main": main.__file__, "cwd": os.getcwd()}))
    return 0


def draw(task):
    import numpy

    drawn = {
        "random": random.random(),
        "numpy": numpy.random.rand(),
        "generator": numpy.random.default_rng().random(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "temporary": os.path.basename(tempfile.mktemp()),
        "bytes": os.urandom(8).hex(),
    }
    print(json.dumps(drawn))
    return 0


def use_threads(task):
    from concurrent.futures import ThreadPoolExecutor

    import numpy

    with ThreadPoolExecutor(4) as pool:
        squares = list(pool.map(lambda n: n * n, range(20)))
    matrix = numpy.ones((400, 400)) @ numpy.ones((400, 400))
    print(sum(squares), matrix[0, 0])
    return 0


def log_something(task):
    logger = logging.getLogger("suite")
    logger.propagate = False  # the root logger has handlers of pytest
    logger.addHandler(logging.StreamHandler())
    logger.warning("logged")
    return 0


def use_multiprocessing(task):
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(abs, [-1, -2]))
    return 0


def register_exit(task):
    atexit.register(print, "task's exit handler")
    return 0


def leave_files_open(task):
    global kept
    kept = open(os.environ["KEPT"], "w")  # noqa: SIM115 - that is the point
    kept.write("not flushed by the task")
    return 0


def leave_thread(task):
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread done"))).start()
    print("body done")
    return 0


def leave_slow_threads(task):
    for name in ("watcher", "other"):
        threading.Thread(target=time.sleep, args=(1,), name=name).start()
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return 0


def leave_brief_thread(task):
    threading.Thread(target=time.sleep, args=(0.02,)).start()
    return 0


def leave_idle_pool(task):
    from concurrent.futures import ThreadPoolExecutor

    global pool
    pool = ThreadPoolExecutor(2)
    pool.submit(int).result()
    return 0


def temporary_folder(task):
    global folder
    folder = tempfile.TemporaryDirectory()
    print(folder.name)
    return 0


def close_output(task):
    print("before")
    sys.stdout.close()
    os.close(1)
    return 0


def crash(task):
    import ctypes

    print("about to crash", end="", flush=True)
    ctypes.string_at(0)


def write_100_mb(task):
    block = b"x" * 99 + b"\n"
    for _ in range(1000):
        os.write(1, block * 1000)
    return 0


def say_pid_and_wait(task):
    print(os.getpid(), flush=True)
    time.sleep(300)
    return 0


def start_child_and_wait(task):
    child = subprocess.Popen(["sleep", "300"])
    print(os.getpid(), child.pid, flush=True)
    time.sleep(300)
    return 0


def leave_child(task):
    print(subprocess.Popen(["sleep", "301"]).pid)
    return 0


def leave_daemon_program(task):
    print(subprocess.Popen(["sleep", "302"], start_new_session=True).pid)
    return 0


def leave_daemon_fork(task):
    ready, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(told, str(os.getpid()).encode())
            time.sleep(303)
        os._exit(0)
    os.wait()
    print(os.read(ready, 20).decode())
    return 0


def exit_with_text(task):
    sys.exit("no more")


def read_shared_file(task):
    print(sys.modules["__main__"].shared.read(3))
    return 0


def leave_zombie(task):
    subprocess.Popen(["true"])
    time.sleep(0.2)
    return 0


def tell_parent(task):
    print(os.getppid())
    return 0


def tell_main(task):
    print(sys.modules["__main__"].__file__)
    return 0


def tell_executable(task):
    print(sys.executable, os.getppid())
    return 0


def tell_hash_seed(task):
    print(hash("a string"))
    return 0
