"""S3 for libraries that read through fsspec."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import sys
import pandas as pd
import flow_s3
root = sys.argv[1]
files = flow_s3.filesystem()
with files.open(f"{root}/a.txt", "wb") as file:
    file.write(b"hello")
assert bytes(files.cat_file(f"s3://{root}/a.txt")) == b"hello"
assert [path.rpartition("/")[2] for path in files.ls(root, detail=False)] == ["a.txt"]
pd.DataFrame({"x": [1, 2]}).to_parquet(f"{root}/t.parquet", filesystem=files)
print(pd.read_parquet(f"{root}/t.parquet", filesystem=files)["x"].sum())
"""


def test_libraries_read_and_write_with_the_same_settings(bucket):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, bucket.root],
        env={**os.environ, **bucket.environment()},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
