"""The process that solves and installs: ``python -m flow_conda.worker JOB``.

rattler has threads of its own, which no process may have that forks others, as the launcher does.
JOB is a file with JSON; the answer is one line of JSON on the standard output, and news are lines of
``[text, part]`` in the file that the job names.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from flow_conda.trouble import disk_full, failed, is_full, parts
from flow_core.api import NoEnvironment


def main(path: str) -> None:
    """Do one job, and answer."""
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    try:
        answer = asyncio.run(_do(job))
    except NoEnvironment as error:
        answer = {"error": parts(error)}
    except Exception as error:  # of rattler's: whatever it is, people are told
        text = f"{type(error).__name__}: {error}"
        answer = {"error": parts(disk_full(job["cache"]) if is_full(text) else failed(text))}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # threads of rattler may still run, and one that meets the end of Python crashes


async def _do(job: Mapping[str, Any]) -> dict[str, Any]:
    if job["do"] == "solve":
        from flow_conda.solving import solve

        return await solve(job)
    if job["do"] == "read":
        from flow_conda.lockfile import read_all

        return read_all(job)
    if job["do"] == "export":
        from flow_conda.lockfile import conda_lock_text

        return {"text": conda_lock_text(job["lock"], job["pip"])}
    from flow_conda.installing import install

    return await install(job)


if __name__ == "__main__":
    main(sys.argv[1])
