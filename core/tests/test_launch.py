"""``python -m flow_core.launch``: one attempt, of any runtime, in an interpreter of its own."""

import json
import os
import subprocess
import sys

from flow_core.api import TaskSpec, launch_document, rebuild_runtime
from flow_core.testing.compute_steps import StepsRuntime


def _launch(step, **options):
    document = launch_document(StepsRuntime(), TaskSpec("SuiteFlow", "1", step, 1), **options)
    command = [sys.executable, "-m", "flow_core.launch"]
    return subprocess.run(
        command,
        input=json.dumps(document).encode(),
        capture_output=True,
        check=False,
        pass_fds=[options["begin"]] if options else [],
    )


def test_an_attempt_of_a_runtime_that_is_no_session():
    done = _launch("write_both")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"to stdout\n", b"to stderr\n")
    assert _launch("fail").returncode == 1
    assert b"this is wrong" in _launch("raise_error").stderr


def test_it_tells_when_the_body_begins():
    reader, writer = os.pipe()
    assert _launch("nothing", begin=writer).returncode == 0
    os.close(writer)
    assert os.read(reader, 10) == b"."
    os.close(reader)


def test_a_runtime_is_made_of_its_document():
    runtime = rebuild_runtime(StepsRuntime(settings={"fork": "never"}).document)
    assert isinstance(runtime, StepsRuntime)
    assert runtime.setting("fork") == "never"
