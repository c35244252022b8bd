"""`S3` of the predecessor, on a real server."""

import pytest

FLOW = """
from metaflow import S3, FlowSpec, Run, step
from metaflow.datatools.s3 import S3Object
from metaflow.exception import MetaflowException
from metaflow.plugins.datatools.s3 import (
    MetaflowS3AccessDenied,
    MetaflowS3InvalidObject,
    MetaflowS3InvalidRange,
    MetaflowS3NotFound,
    MetaflowS3URLException,
    S3GetObject,
    S3PutObject,
)
from metaflow.plugins.datatools.s3.s3 import MetaflowS3Exception

assert issubclass(MetaflowS3NotFound, MetaflowS3Exception)


def caught(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MetaflowException as error:
        return type(error).__name__


class S3Flow(FlowSpec):
    @step
    def start(self):
        with S3(run=self) as s3:
            self.url = s3.put("report", "text", metadata={"who": "ada"})
            s3.put_many([S3PutObject(key="a/b", value=b"12345", content_type="x/y"), ("a/c", "c")])
            self.part = s3.get(S3GetObject("a/b", 1, 3)).text
            self.keys = [found.key for found in s3.get_recursive(["a"], return_info=True)]
            self.errors = [
                caught(s3.get, "none"),
                caught(s3.get, S3GetObject("a/b", 50, 3)),
                caught(s3.put, "k", 3),
                caught(s3.get_many, ["s3://x/y"]),
            ]
            self.refused = caught(S3, bucket="b", s3root="s3://c")
        try:
            with S3(run=self) as s3:
                s3.info("none")
        except MetaflowS3NotFound as error:
            self.headline = error.headline
        self.next(self.end)

    @step
    def end(self):
        with S3() as s3:
            self.found = s3.get(self.url).text, s3.info(self.url).metadata


if __name__ == "__main__":
    S3Flow()
"""

READ = """
from metaflow import S3, Run, namespace
namespace(None)
run = Run("S3Flow/1")
with S3(run=run) as s3:
    print([found.key for found in s3.list_recursive()])
data = run.data
print(data.url, data.part, data.keys, data.found)
print(data.errors, data.refused, data.headline)
"""


@pytest.mark.parametrize("whose", ["datastore", "datatools"])
def test_a_flow_with_its_files_in_s3(old, bucket, whose):
    root = f"{bucket.url}/x"
    old.variables |= bucket.environment()
    if whose == "datastore":
        old.variables |= {"METAFLOW_DEFAULT_DATASTORE": "s3", "METAFLOW_DATASTORE_SYSROOT_S3": root}
    else:
        endpoint = old.variables.pop("AWS_ENDPOINT_URL")
        old.variables |= {"METAFLOW_DATATOOLS_S3ROOT": root, "METAFLOW_S3_ENDPOINT_URL": endpoint}
    old.write("s3_flow.py", FLOW)
    old.call("s3_flow.py", "run").check()
    old.write("read.py", READ)
    lines = old.call("read.py").check().stdout.splitlines()
    assert lines[0] == "['a/b', 'a/c', 'report']"
    url = f"{root}/files/S3Flow/1/report"
    assert lines[1] == f"{url} 234 ['b', 'c'] ('text', {{'who': 'ada'}})"
    errors = ["NotFound", "InvalidRange", "InvalidObject", "URLException"]
    assert lines[2] == (
        f"{[f'MetaflowS3{e}' for e in errors]} MetaflowS3URLException S3 object not found"
    )


def test_without_a_bucket(old):
    old.write("s3_flow.py", FLOW)
    done = old.call("s3_flow.py", "run")
    assert done.returncode == 1
    assert "has no bucket" in done.stdout + done.stderr
