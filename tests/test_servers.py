"""The servers that other tests use are there, are one for all, and die with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers.s3 import GIVEN, empty, given_bucket

ROOT = Path(__file__).resolve().parents[1]

TESTS = """
    import os, time
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_it(s3_server, bucket, number):
        assert s3_server.request("PUT", f"/{bucket.root}/a", b"x")[0] == 200
        with open("ports", "a") as file:
            file.write(f"{s3_server.port} {os.environ['TEST_SERVERS_FOLDER']}\\n")
        while os.path.exists("stay"):
            time.sleep(0.1)
"""


def test_objects_come_back(s3_server, bucket):
    assert s3_server.keys(bucket) == []
    assert s3_server.request("PUT", f"/{bucket.root}/a b/c", b"content")[0] == 200
    assert s3_server.request("GET", f"/{bucket.root}/a b/c") == (200, b"content")
    assert s3_server.keys(bucket) == [f"{bucket.prefix}/a b/c"]


def test_it_checks_signatures(s3_server, bucket, monkeypatch):
    import servers.s3

    monkeypatch.setattr(servers.s3, "SECRET", "wrong")
    status, said = s3_server.request("PUT", f"/{bucket.root}/a", b"content")
    assert (status, b"SignatureDoesNotMatch" in said) == (403, True)


def test_own_buckets_are_empty(s3_server, new_bucket):
    one, other = new_bucket(), new_bucket()
    s3_server.request("PUT", f"/{one.root}/a", b"content")
    assert (s3_server.keys(one), s3_server.keys(other)) == (["a"], [])


def test_a_bucket_that_is_named_is_used_and_left_empty(s3_server, bucket):
    assert given_bucket({}) is None
    named = {**bucket.environment(), GIVEN: bucket.url}
    first, second = given_bucket(named), given_bucket(named)
    assert first.url.startswith(f"{bucket.url}/flow-tests-")
    assert first.prefix != second.prefix
    assert first.environment() == bucket.environment()
    for place in (first, second):
        status, _ = s3_server.request("PUT", f"/{place.root}/some/object", b"x")
        assert status == 200
    empty(first)
    assert s3_server.keys(bucket) == [f"{second.prefix}/some/object"]


def test_a_real_bucket_needs_no_endpoint():
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    found = given_bucket({GIVEN: "s3://flows", **keys, "AWS_REGION": "eu-north-1"})
    variables = found.environment()
    assert "AWS_ENDPOINT_URL" not in variables
    assert {name: variables[name] for name in keys} == keys
    assert variables["AWS_REGION"] == "eu-north-1"
    with pytest.raises(AssertionError, match="needs the variables AWS_ACCESS_KEY_ID"):
        given_bucket({GIVEN: "s3://flows"})


def test_what_is_absent_fails_in_ci_only(monkeypatch):
    from servers.sharing import absent

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no S3 here"):
        absent("no S3 here")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no S3 here"):
        absent("no S3 here")


def pytest_of_its_own(path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    from textwrap import dedent

    (path / "conftest.py").write_text(
        (ROOT / "conftest.py").read_text().replace("Path(__file__).parent", f"Path({str(ROOT)!r})")
    )
    (path / "test_it.py").write_text(dedent(TESTS))
    variables = {n: v for n, v in os.environ.items() if n != "TEST_SERVERS_FOLDER"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.Popen([*command, "test_it.py"], cwd=path, env=variables)


def answers(port: int) -> bool:
    from servers.s3 import S3Server

    try:
        return S3Server(port).request("GET", "/")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_workers_share_one_that_dies_with_the_run(tmp_path, wait_for):
    assert pytest_of_its_own(tmp_path, "-n", "2").wait(120) == 0
    lines = (tmp_path / "ports").read_text().splitlines()
    assert (len(lines), len(set(lines))) == (4, 1)
    port, folder = lines[0].split()
    wait_for(lambda: not answers(int(port)))
    assert not os.path.exists(folder)


@pytest.mark.slow
def test_it_dies_with_a_run_that_is_killed(tmp_path, wait_for):
    (tmp_path / "stay").touch()
    run = pytest_of_its_own(tmp_path)
    wait_for(lambda: (tmp_path / "ports").exists() and (tmp_path / "ports").read_text(), 60)
    port, folder = (tmp_path / "ports").read_text().split()
    assert answers(int(port))
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(lambda: not answers(int(port)))
    wait_for(lambda: not os.path.exists(folder))
