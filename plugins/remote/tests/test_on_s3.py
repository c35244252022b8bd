"""Runs whose tasks share nothing with their launcher but a bucket."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

import pytest
from watching import wait_for

from flow_core.testing import FaultyProxy

FLOW = """
    import time

    import own_helper
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            print("working on", self.input)
            time.sleep({seconds})
            self.square = own_helper.square(self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.square for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total)

    if __name__ == "__main__":
        F()
"""


def _prepare(lab, bucket, seconds=0):
    lab.more_plugins += ["s3"]
    lab.write("def square(x):\n    return x * x\n", "own_helper.py")
    file = lab.write(FLOW.replace("{seconds}", str(seconds)))
    return file, ("-p", "cluster", "--compute", "elsewhere", "--datastore", bucket.url)


def test_code_artifacts_and_logs_go_by_the_bucket(lab, bucket, tmp_path):
    file, chosen = _prepare(lab, bucket)
    done = lab.python(file, *chosen, "run", variables=bucket.environment()).check()
    assert "working on 2" in done.stdout
    assert "total 14" in done.stdout
    options = ("--datastore", bucket.url)
    shown = lab.flow(*options, "dump", "F/1/end", "--json", variables=bucket.environment()).check()
    assert "14" in shown.stdout
    logs = lab.flow(*options, "logs", "F/1/work", variables=bucket.environment()).check()
    assert "working on 3" in logs.stdout
    assert not (tmp_path / ".flow").exists()


def test_a_failure_names_the_flows_own_file(lab, bucket):
    """And not where it was unpacked, which is gone by then."""
    file, chosen = _prepare(lab, bucket)
    lab.write("def square(x):\n    raise ValueError('wrong')\n", "own_helper.py")
    done = lab.python(file, *chosen, "run", variables=bucket.environment())
    assert done.returncode == 1
    assert 'File "own_helper.py", line 2, in square' in done.stdout
    assert "flow-code-" not in done.stdout + done.stderr


def test_no_secret_is_told_to_the_cluster(lab, bucket, s3_server, tmp_path):
    """Neither specifications nor jobs hold credentials, though the launcher has them."""
    file, chosen = _prepare(lab, bucket)
    seen = tmp_path / "seen.json"
    lab.write(
        "import json\n"
        "from cluster import Elsewhere, __flow__\n"
        "class Watched(Elsewhere):\n"
        "    def make_backend(self):\n"
        "        made = super().make_backend()\n"
        "        submit = made.submit\n"
        "        def watched(jobs):\n"
        f"            with open({str(seen)!r}, 'a') as file:\n"
        "                file.write(repr(jobs))\n"
        "            return submit(jobs)\n"
        "        made.submit = watched\n"
        "        return made\n"
        "__flow__ = {'flow.computes': {'elsewhere': 'Watched'}}\n",
        "watched.py",
    )
    variables = {**bucket.environment(), "FLOW_SECRET_OF_MINE": "do-not-tell"}
    lab.python(file, "-p", "watched", *chosen[2:], "run", variables=variables).check()
    told = seen.read_text()
    for key in s3_server.keys(bucket):
        if key.endswith("spec.json"):
            told += s3_server.request("GET", f"/{bucket.name}/{key}")[1].decode()
    assert told.count("F/1") > 4
    assert bucket.secret not in told
    assert "do-not-tell" not in told


@pytest.mark.slow
@pytest.mark.chaos
def test_a_store_that_is_away_for_some_seconds_costs_no_result(lab, bucket):
    """`tests/test_remote_faults.py` lets it be away for longer, from tasks of real clusters."""
    proxy = FaultyProxy(bucket.endpoint)
    port = urlsplit(proxy.url).port or 0
    through = bucket.through(proxy.url)
    file, chosen = _prepare(lab, through, seconds=2)
    outages = []

    def go_away() -> None:
        def begun() -> bool:
            return sum(request.path.endswith("/live/0") for request in proxy.seen) >= 3

        wait_for(begun, 60, "three tasks write")
        proxy.close()
        time.sleep(5)
        outages.append(FaultyProxy(bucket.endpoint, port=port))

    thread = threading.Thread(target=go_away)
    thread.start()
    try:
        variables = through.environment()
        done = lab.python(file, *chosen, "run", variables=variables, timeout=120)
    finally:
        thread.join()
        for other in (proxy, *outages):
            other.close()
    done.check()
    assert "total 14" in done.stdout
