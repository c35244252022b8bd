"""Interpreters of their own: for a server where the launcher must not fork or another Python is
asked for, and for a single attempt where the server must not fork either."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from flow_compute_local import child, descriptors, forking
from flow_compute_local.protocol import Order, encode, receive_one
from flow_compute_local.server import Server


def start_server(
    interpreter: str, folder: str | None, variables: Mapping[str, str]
) -> tuple[int, socket.socket]:
    """Start a server, with ``folder`` as its `TaskCommand.runtime`; return its process id and the
    launcher's end of the connection."""
    from flow_core.api import python_command

    ours, theirs = socket.socketpair()
    try:
        with theirs:
            command = python_command(interpreter, "flow_compute_local.server", folder)
            process = _popen_server(command, theirs.fileno(), variables)
    except OSError:
        ours.close()
        raise
    _disown(process)
    return process.pid, ours


def _popen_server(
    command: list[str], connection: int, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command, str(connection)],
        stdin=subprocess.DEVNULL,
        pass_fds=[connection],
        start_new_session=True,
        env={**os.environ, **variables},
    )


def start_attempt(
    runtime: Any, order: Order, stdout: int, stderr: int, begin: int | None = None
) -> int:
    """Run one attempt in a fresh interpreter, which tells by ``begin`` when the body begins; return
    its process id."""
    # Where tasks are forked nobody needs these.
    import tempfile

    from flow_core.api import TaskSpec, launch_document, python_command

    python, *words = python_command(sys.executable, "flow_core.launch", order["runtime"])
    with tempfile.TemporaryFile() as document:
        task = TaskSpec.from_json(order["task"])
        document.write(json.dumps(launch_document(runtime, task, begin)).encode())
        document.seek(0)
        process = subprocess.Popen(
            [python, "-u", *words],
            stdin=document,
            stdout=stdout,
            stderr=stderr,
            cwd=order["folder"],
            pass_fds=() if begin is None else (begin,),
            start_new_session=True,
            env={**os.environ, **child.task_variables(order)},
        )
    _disown(process)
    return process.pid


def _disown(process: subprocess.Popen[bytes]) -> None:
    # The status is taken by wait4, with the use of resources; `subprocess` must not take it before.
    process.returncode = 0


def serve_spawned(connection: socket.socket) -> NoReturn:
    """Rebuild the session that the launcher describes, then serve attempts."""
    from flow_core.api import FlowError, rebuild_runtime

    launcher = os.getppid()
    connection.set_inheritable(False)
    try:
        _, document, watch, fork = receive_one(connection)
        runtime = rebuild_runtime(document)
        reasons = forking.unsafe_reasons() if fork == "auto" else ["the setting 'fork' is 'never'"]
        connection.sendall(encode(["ready", reasons[0] if reasons else None]))
        keep_alive = child.become_template()
        plain = descriptors.give_up({connection.fileno()})
        Server(connection, runtime, launcher, watch=watch, fork=not reasons).run(plain)
        del keep_alive
    except FlowError as error:  # it says all, and is none of ours
        with contextlib.suppress(OSError):
            connection.sendall(encode(["broken", error.what, str(error)]))
        os._exit(1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
