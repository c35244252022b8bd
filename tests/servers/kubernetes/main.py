"""The process of a test server: ``python -m servers.kubernetes.main PORT ADMIN_PORT FOLDER SETTINGS``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
from pathlib import Path

from servers.kubernetes.admin import Admin
from servers.kubernetes.cluster import Cluster
from servers.kubernetes.http import Listener
from servers.kubernetes.processes import bury
from servers.kubernetes.settings import Settings


def call_undertaker() -> None:
    """Leave a process behind that kills what the pods run, should this one be killed."""
    server = os.getpid()
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        return
    os.close(writer)
    os.setsid()
    os.read(reader, 1)  # returns when nobody has the other end any more
    bury(server)
    os._exit(0)


async def serve(port: int, admin_port: int, folder: Path, settings: Settings) -> None:
    """Serve until the process is told to end."""
    cluster = Cluster(port, folder, settings)
    admin = Listener(admin_port, Admin(cluster).handle)
    await admin.open()  # first: who waits for the API server then uses both
    await cluster.start()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()  # what is there now stays
    gc.set_threshold(50_000, 20, 20)  # objects are replaced, hardly ever in circles
    await cluster.run()
    bury(os.getpid())
    os._exit(0)  # to take thousands of objects apart would take seconds


if __name__ == "__main__":
    call_undertaker()
    asyncio.run(
        serve(
            int(sys.argv[1]),
            int(sys.argv[2]),
            Path(sys.argv[3]),
            Settings.read(json.loads(sys.argv[4])),
        )
    )
