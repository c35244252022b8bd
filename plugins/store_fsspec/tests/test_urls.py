"""What URLs mean, and what is said of those that mean nothing."""

from __future__ import annotations

import json
import sys
import uuid

import fsspec.registry  # noqa: F401 - the module, which the package hides
import pytest

from flow_core.api import AccessDenied, PluginError, SettingsError, StoreError, UsageError
from flow_fsspec.store import open_url


@pytest.mark.parametrize(
    ("url", "root", "shared"),
    [
        ("memory://", "", False),
        ("memory://a/b/", "/a/b", False),
        ("local:///data/flows/", "/data/flows", False),
        ("sftp://ada@host:2022/data/flows/", "/data/flows", True),
        ("ssh://host/data", "/data", True),
        ("sftp://host/~/flows", "flows", True),
        ("ftp://host/pub/x", "/pub/x", True),
    ],
)
def test_where_a_store_is(url: str, root: str, shared: bool) -> None:
    store = open_url(url)
    assert store.root == root
    assert store.url == (url if url == "memory://" else url.rstrip("/"))
    assert store.capabilities.shared is shared
    assert store.capabilities.in_process is url.startswith("memory")


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("s4://bucket", UsageError, "did you mean 's3'?"),
        ("sfpt://host/x", UsageError, "did you mean 'sftp'?"),
        ("wonderland://x", UsageError, "pip install flow-wonderland"),
        ("simplecache::sftp://host/x", UsageError, "name the last one alone: sftp://"),
        ("sftp://host", UsageError, "--datastore sftp://host/folder"),
        ("sftp://host/", UsageError, "--datastore sftp://host/folder"),
        ("sftp://ada:secret@host/x", UsageError, '{"sftp": {"password": "…"}}'),
    ],
)
def test_no_store(url: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        open_url(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "module", "words"),
    [
        ("sftp://host/x", "paramiko", "pip install paramiko"),
        ("smb://host/x", "smbclient", "pip install smbprotocol"),
        ("s3://bucket/x", "s3fs", "pip install flow-s3"),
        ("gs://bucket/x", "gcsfs", "pip install flow-gs"),
    ],
)
def test_a_package_is_missing(
    url: str, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    known = sys.modules["fsspec.registry"]
    monkeypatch.delitem(known._registry, url.partition(":")[0], raising=False)
    with pytest.raises(PluginError) as caught:
        open_url(url)
    assert caught.value.hint == words
    assert "needs a package that is not installed" in caught.value.what
    assert module in caught.value.why


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "it is no JSON"), ("[]", "no object"), ('{"sftp": 1}', "no object whose values")],
)
def test_options_that_cannot_be_read(text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_FSSPEC_OPTIONS", text)
    with pytest.raises(SettingsError) as caught:
        open_url("sftp://host/x").size("a")
    assert why in caught.value.why
    assert caught.value.where == "FLOW_FSSPEC_OPTIONS"


def test_what_lacks_options_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        open_url("github://x/y").size("a")
    assert "'org' and 'repo'" in caught.value.why
    assert '{"github": {"name": "value"}}' in caught.value.hint


def test_what_can_only_be_read_says_so() -> None:
    store = open_url("data://x/y")
    with pytest.raises(StoreError, match="can only be read"):
        store.write([("a", b"1")])


@pytest.mark.parametrize(
    ("place", "why", "hint"),
    [
        ("127.0.0.1:1/x", "nothing listens at 127.0.0.1:1", "check host and port"),
        ("nohost.invalid/x", "there is no host 'nohost.invalid'", "check the URL"),
    ],
)
def test_no_server(place: str, why: str, hint: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_url(f"sftp://{place}").write([("a", b"1")])
    assert caught.value.what == "Cannot reach the store"
    assert why in caught.value.why
    assert hint in caught.value.hint


@pytest.mark.may_leak("threads", "files", "logging")  # of the connection
class TestServer:
    """What an SFTP server says."""

    def options(self, place, monkeypatch, **more) -> None:
        found = json.loads(place.environment()["FLOW_FSSPEC_OPTIONS"])["sftp"]
        chosen = {name: value for name, value in (found | more).items() if value is not None}
        monkeypatch.setenv("FLOW_FSSPEC_OPTIONS", json.dumps({"sftp": chosen}))

    def test_a_wrong_password(self, sftp_place, monkeypatch) -> None:
        self.options(sftp_place, monkeypatch, password="wrong")
        with pytest.raises(AccessDenied) as caught:
            open_url(f"{sftp_place.url}/x").size("a")
        assert "does not let this person in" in caught.value.why

    def test_a_server_that_nobody_knows(self, sftp_place, monkeypatch, tmp_path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        self.options(sftp_place, monkeypatch, host_key_policy=None)
        store = open_url(f"{sftp_place.url}/x")
        with pytest.raises(StoreError) as caught:
            store.size("a")
        assert caught.value.hint.startswith("do so: ssh 127.0.0.1")
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/known_hosts").write_text(sftp_place.host_key + "\n")
        assert store.size("a") is None

    def test_names_of_the_configuration(self, sftp_place, monkeypatch, tmp_path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh/config").write_text(
            f"Host team\n  HostName 127.0.0.1\n  Port {sftp_place.port}\n  User ada\n"
        )
        self.options(sftp_place, monkeypatch)
        store = open_url(f"sftp://team{sftp_place.path}/x")
        assert store.write([("a", b"1")]) == [True]

    def test_it_connects_again(self, sftp_place, monkeypatch) -> None:
        self.options(sftp_place, monkeypatch)
        store = open_url(f"{sftp_place.url}/x")
        store.write([("a", b"1")])
        store.filesystem.client.close()
        assert [*store.read(["a"])] == [b"1"]

    def test_leftovers_are_hidden(self, sftp_place, monkeypatch) -> None:
        self.options(sftp_place, monkeypatch)
        store = open_url(f"{sftp_place.url}/x")
        store.write([("a", b"1")], create_only=True)
        assert store.write([("a", b"2")], create_only=True) == [False]
        store.filesystem.pipe_file(f"{store.root}/.writing/half", b"of a killed writer")
        assert [o.key for o in store.list()] == ["a"]


def test_memory_is_one_for_the_process() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    open_url(url).write([("a", b"1")])
    assert [*open_url(url).read(["a"])] == [b"1"]
