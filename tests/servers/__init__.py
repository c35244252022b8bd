"""Real servers for the tests of all distributions, as fixtures: a plugin of pytest for this repository.

One server of a kind serves the whole run of pytest, whatever the number of its workers; it starts with
the first test that asks for it, and is killed at the end, also when pytest itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from servers import conda
from servers.azure import AzureServer, Container
from servers.conda import CondaChannel, NoChannel
from servers.kubernetes.handle import Cluster, KubernetesServer
from servers.kubernetes.real import real_cluster
from servers.kubernetes.settings import Settings
from servers.podman import Podman
from servers.s3 import Bucket, S3Server, empty, given_bucket
from servers.sftp import Place, sftp_server
from servers.sharing import absent, begin, end
from servers.slurm import need_slurm, shared_cluster

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Make the place where the workers find each other's servers."""
    begin()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Kill the servers, if this is the process that all others came from."""
    end()


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    """A real S3 server (SeaweedFS): it checks signatures, checksums and conditions."""
    return S3Server.shared()


@pytest.fixture(scope="session")
def _bucket_of_worker(s3_server: S3Server) -> Bucket:
    return s3_server.make_bucket(f"tests-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def bucket(_bucket_of_worker: Bucket) -> Bucket:
    """An empty place on a real S3 server: a prefix of its own in a bucket. See `Bucket`."""
    return _bucket_of_worker._replace(prefix=uuid.uuid4().hex[:12])


@pytest.fixture
def bucket_for_all(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """A place that also machines elsewhere reach, if ``FLOW_TEST_S3_URL`` names one; else `bucket`."""
    given = given_bucket(os.environ)
    if given is None:
        yield request.getfixturevalue("bucket")
        return
    yield given
    empty(given)


@pytest.fixture
def new_bucket(s3_server: S3Server) -> Iterator[Callable[[], Bucket]]:
    """Return a function that makes a bucket of its own: dear, for tests of what buckets do."""
    made: list[Bucket] = []

    def make() -> Bucket:
        made.append(s3_server.make_bucket(f"own-{uuid.uuid4().hex[:12]}"))
        return made[-1]

    yield make
    for each in made:
        s3_server.delete_bucket(each)


@pytest.fixture(scope="session")
def _container_of_worker() -> Container:
    return AzureServer.shared().make_container(f"tests-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def container(_container_of_worker: Container) -> Container:
    """An empty place on an Azure server (Azurite): a prefix of its own. See `Container`."""
    return _container_of_worker._replace(prefix=uuid.uuid4().hex[:12])


@pytest.fixture
def sftp_place() -> Place:
    """An empty place on an SFTP server: a folder of its own. See `Place`."""
    server, name = sftp_server(), uuid.uuid4().hex[:12]
    os.mkdir(f"{server.folder}/{name}")
    return server._replace(path=f"/{name}", folder=f"{server.folder}/{name}")


@pytest.fixture(scope="session")
def podman() -> Podman:
    """podman with a store and images of its own. See `Podman`."""
    return Podman.shared()


@pytest.fixture(scope="session")
def conda_channel() -> CondaChannel:
    """A channel of conda with two interpreters and small libraries, made once for each machine."""
    try:
        return conda.channel_of_this_machine()
    except NoChannel as error:
        return absent(f"no channel of conda: {error}")


@pytest.fixture(scope="session")
def conda_url(conda_channel: CondaChannel) -> str:
    """The URL by which a server gives what is in `conda_channel`."""
    return conda.served(conda_channel)


@pytest.fixture(name="kubernetes")
def _kubernetes(tmp_path: Path) -> Iterator[Cluster]:
    """A namespace of its own in a cluster: that of this run of pytest, or a real one. See `Cluster`."""
    with contextlib.ExitStack() as stack:
        yield _namespace(stack, tmp_path)


@pytest.fixture(scope="module")
def kubernetes_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same for all tests of a module."""
    with contextlib.ExitStack() as stack:
        yield _namespace(stack, tmp_path_factory.mktemp("kubernetes"))


def _namespace(stack: contextlib.ExitStack, folder: Path) -> Cluster:
    name = f"flow-tests-{uuid.uuid4().hex[:10]}"
    real = real_cluster(name, folder)
    if real is not None:
        return stack.enter_context(real)
    server = KubernetesServer.shared()
    stack.callback(server.delete_namespace, name)
    return server.cluster(name, folder)


@pytest.fixture
def folder_for_pods() -> Iterator[Path]:
    """A folder that pods of the test server see under the same path: their /tmp is their own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def cache_for_pods() -> Iterator[Path]:
    """A folder for the variable ``FLOW_CACHE`` of pods, each of which would unpack flow-core else."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def new_kubernetes(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Return a function that starts a cluster for one test: to lose nodes, to stop the API server.

    Its arguments are those of `servers.kubernetes.settings.Settings`.
    """
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Cluster:
            server = KubernetesServer.own(Settings(**settings))
            stack.callback(server.stop)
            return server.cluster(f"flow-tests-{uuid.uuid4().hex[:10]}", tmp_path)

        yield make


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A real Slurm with three nodes, shared by all tests; its programs find it."""
    cluster = shared_cluster()
    monkeypatch.setenv("SLURM_CONF", cluster.configuration)
    return cluster


@pytest.fixture
def new_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a Slurm of its own, which a test may disturb; see `Sandbox`."""
    need_slurm()
    from flow_slurm.sandbox import Nodes, Sandbox

    made: list[Sandbox] = []

    def make(nodes: int = 2, **more: str) -> Sandbox:
        made.append(Sandbox(nodes=Nodes(nodes, 4, 4000), more=more))
        made[-1].start()
        monkeypatch.setenv("SLURM_CONF", made[-1].configuration)
        return made[-1]

    yield make
    for each in made:
        each.stop()
