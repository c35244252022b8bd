"""The class S3 on a real server, and what it makes of its arguments."""

import io
import os

import certifi
import pytest

from flow_core.testing import MemoryStore
from flow_s3 import s3 as module
from flow_s3.s3 import (
    S3,
    S3AccessDenied,
    S3Error,
    S3GetObject,
    S3InvalidObject,
    S3InvalidRange,
    S3NotFound,
    S3Object,
    S3PutObject,
    S3URLError,
)

BIG = bytes(range(256)) * 100_000  # 25 megabytes


@pytest.fixture
def root(bucket, monkeypatch, tmp_path):
    """URL of an empty folder on a real server; the credentials are in the environment."""
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return bucket.url


@pytest.fixture
def s3(root):
    with S3(s3root=root) as s3:
        yield s3


class TestObjects:
    def test_one(self, s3, root):
        url = s3.put("a/ü x.csv", "größe", content_type="text/csv", metadata={"a_b": "ü", "c": "d"})
        assert url == f"{root}/a/ü x.csv"
        found = s3.get("a/ü x.csv")
        assert isinstance(found, S3Object)
        assert (found.url, found.key, found.prefix) == (url, "a/ü x.csv", root)
        assert (found.text, found.size) == ("größe", 7)
        assert (found.content_type, found.metadata) == ("text/csv", {"a_b": "ü", "c": "d"})
        assert found.last_modified > 1e9
        assert s3.info("a/ü x.csv").metadata == {"a_b": "ü", "c": "d"}

    def test_many(self, s3):
        keys = [f"k/{n:03}" for n in range(150)]
        assert s3.put_many((k, k * 9) for k in keys) == [(k, f"{s3.url}/{k}") for k in keys]
        found = s3.get_many([*keys[::-1], "none"], return_missing=True)
        assert [f.text for f in found[:-1]] == [k * 9 for k in keys[::-1]]
        assert not found[-1].exists
        assert [f.key for f in s3.get_recursive(["k"])] == [k[2:] for k in keys]
        assert [f.key for f in s3.get_all()] == keys
        assert [(f.key, f.exists) for f in s3.list_paths()] == [("k", False)]
        assert {f.size for f in s3.list_recursive()} == {45}
        assert [f.size for f in s3.info_many(keys[:3])] == [45] * 3

    def test_large(self, s3, tmp_path):
        (tmp_path / "big").write_bytes(BIG)
        s3.put_files([("file", tmp_path / "big")])
        s3.put("stream", io.BytesIO(BIG), content_type="x/y")
        for found in s3.get_many(["file", "stream"]):
            with open(found.path, "rb") as file:
                assert file.read() == BIG
        assert s3.info("stream").content_type == "x/y"

    def test_ranges(self, s3):
        s3.put("k", BIG)
        parts = [
            S3GetObject("k", 5, 10),
            S3GetObject("k", 0, -7),
            S3GetObject("k", 100, 20_000_000),
        ]
        found = s3.get_many(parts)
        assert [f.blob for f in found] == [BIG[5:15], BIG[-7:], BIG[100:20_000_100]]
        assert found[1].range_info == (len(BIG), len(BIG) - 7, 7)
        with pytest.raises(S3InvalidRange, match="no byte"):
            s3.get(S3GetObject("k", len(BIG)))

    def test_without_overwriting(self, s3):
        s3.put("a", "old")
        assert s3.put("a", "new", overwrite=False) == f"{s3.url}/a"
        put = s3.put_many([S3PutObject("a", "x"), S3PutObject("b", "y", content_type="t/x")], False)
        assert [key for key, _ in put] == ["b"]
        assert [f.text for f in s3.get_many(["a", "b"])] == ["old", "y"]

    def test_what_metaflow_put(self, s3, root, bucket):
        from flow_core.api import Attributes
        from flow_s3.store import S3Store

        kept = Attributes("text/csv", {"metaflow-user-attributes": '{"who": "ada"}'})
        S3Store(root.removeprefix("s3://")).write_stream("k", [b"x"], attributes=kept)
        assert s3.info("k").metadata == {"who": "ada"}

    def test_full_urls(self, root):
        with S3() as s3:
            s3.put(f"{root}/x/y", "abc")
            found = s3.get(f"{root}/x/y")
            assert (found.key, found.prefix, found.text) == (f"{root}/x/y", None, "abc")
            assert [f.url for f in s3.list_paths([root])] == [f"{root}/x"]
            with pytest.raises(S3URLError, match="no URL of S3"):
                s3.get("file:///data/x")

    def test_a_bucket_and_a_prefix(self, root):
        name, _, folder = root.removeprefix("s3://").partition("/")
        with S3(bucket=name, prefix=f"{folder}/sub/") as s3:
            assert s3.put("k", "v") == f"{root}/sub/k"
        with S3(bucket=name) as s3:
            assert s3.get(f"{folder}/sub/k").text == "v"

    def test_errors(self, s3, root, monkeypatch):
        with pytest.raises(S3NotFound):
            s3.get("none")
        with pytest.raises(S3InvalidObject):
            s3.put("k", 3)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with S3(s3root=root) as other:
            with pytest.raises(S3AccessDenied):
                other.put("k", "v")
            with pytest.raises(S3AccessDenied):
                other.get_many(["a", "b"])

    def test_no_bucket(self, root):
        with S3(s3root="s3://no-such-bucket-here/x") as s3, pytest.raises(S3Error):
            s3.get("k")

    def test_connections_are_shared_as_long_as_settings_are_the_same(self, root, monkeypatch):
        one, two = S3(s3root=root), S3(s3root=root)
        assert one._locator.root.store is two._locator.root.store
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        others = [
            S3(s3root=root),
            S3(s3root=root, role="arn:aws:iam::1:role/x"),
            S3(s3root=root + "/x"),
        ]
        stores = {id(s3._locator.root.store) for s3 in (one, *others)}
        assert len(stores) == 4
        monkeypatch.setattr(module, "_AGE", 0.0)
        assert S3(s3root=root)._locator.root.store is not others[0]._locator.root.store

    def test_in_a_forked_child(self, s3):
        s3.put("k", "v")
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if s3.get("k").text == "v" else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0

    def test_another_service_by_arguments(self, root, bucket, monkeypatch):
        endpoint = bucket.endpoint
        for name in bucket.environment():
            if "ENDPOINT" in name:
                monkeypatch.delenv(name)
        with S3(s3root=root, client_params={"endpoint_url": endpoint}) as s3:
            assert s3.put("k", "v")


class TestRuns:
    def run(self, store):
        from types import SimpleNamespace

        return SimpleNamespace(pathspec="F/7/start/1", store=store)

    def test_with_its_datastore(self, root):
        from flow_s3.store import S3Store

        store = S3Store(root.removeprefix("s3://"))
        with S3(run=self.run(store)) as s3:
            assert s3.put("k", "v") == f"{root}/files/F/7/k"
        with S3(run=self.run(store), client_params={"region_name": "us-east-1"}) as s3:
            assert s3.get("k").text == "v"

    def test_with_another_datastore(self, root, monkeypatch):
        with pytest.raises(S3URLError, match="F/7 has no bucket") as caught:
            S3(run=self.run(MemoryStore("x")))
        assert "Files(run=self)" in caught.value.hint
        monkeypatch.setenv("FLOW_S3_ROOT", f"{root}/team")
        with S3(run=self.run(MemoryStore("x"))) as s3:
            assert s3.put("k", "v") == f"{root}/team/files/F/7/k"


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "what", "hint"),
        [
            ({"s3root": "s3://a", "bucket": "b"}, "s3root and bucket are given", "S3(run=self)"),
            ({"prefix": "p"}, "prefix is given without a bucket", "bucket='bucket'"),
            ({"s3root": "/data"}, "no URL of S3", "Files takes"),
            ({"s3root": "s3://"}, "no URL of S3", "s3://bucket/folder"),
            ({"bucket": "a/b"}, "no name of a bucket", "prefix='folder'"),
            ({"run": 3}, "3 is no run", "Files(run=self)"),
            ({"external_client": object()}, "cannot be given", "endpoint_url"),
            ({"encryption": "aes"}, "no encryption 'aes'", "AES256"),
            ({"client_params": {"endpoint": "x"}}, "unknown entry 'endpoint'", "'endpoint_url'"),
            ({"client_params": {"zzz": "x"}}, "unknown entry 'zzz'", "known: endpoint_url"),
            ({"client_params": {"config": 3}}, "cannot have 'config'", "FLOW_S3_RETRY_TIME"),
            ({"session_vars": {"aws_access_key_id": "x"}}, "cannot have", "profile"),
        ],
    )
    def test_what_is_refused(self, arguments, what, hint):
        with pytest.raises(S3URLError) as caught:
            S3(**arguments)
        assert what in caught.value.what
        assert hint in caught.value.hint

    def test_their_meaning(self, tmp_path, monkeypatch):
        (tmp_path / "config").write_text(
            "[profile p]\naws_access_key_id = A\naws_secret_access_key = B\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        authorities = certifi.where()
        s3 = S3(
            s3root="s3://bucket/folder",
            encryption="AES256",
            role="arn:aws:iam::1:role/x",
            session_vars={"profile_name": "p", "region_name": "r"},
            client_params={"verify": authorities, "endpoint_url": "http://x"},
        )
        assert s3._chosen == {
            "s3_encryption": "AES256",
            "s3_role": "arn:aws:iam::1:role/x",
            "s3_profile": "p",
            "s3_region": "r",
            "s3_ca_bundle": authorities,
            "s3_endpoint_url": "http://x",
        }
        assert s3.url == "s3://bucket/folder"
        assert S3(s3root="s3://b", client_params={"verify": False})._chosen == {"s3_verify": False}

    def test_encryption_of_one_object(self):
        with S3(s3root="s3://bucket") as s3:
            target = s3._locator.target("k")
            other = s3._encrypted(target, "AES256")
            assert other.store is not target.store
            assert s3._encrypted(target, "AES256").store is other.store
            with pytest.raises(S3URLError, match="no encryption"):
                s3._encrypted(target, "rot13")

    def test_the_first_argument_is_the_folder_for_temporary_files(self, tmp_path):
        with S3(str(tmp_path), "bucket") as s3:
            assert s3.url == "s3://bucket"
            assert s3._scratch.path("x").startswith(str(tmp_path))

    def test_all_exceptions_have_one_base(self):
        own = [v for n, v in vars(module).items() if n.startswith("S3") and isinstance(v, type)]
        errors = [kind for kind in own if issubclass(kind, Exception)]
        assert {S3AccessDenied, S3InvalidObject, S3NotFound, S3URLError} < {*errors}
        assert all(issubclass(kind, S3Error) for kind in errors)
