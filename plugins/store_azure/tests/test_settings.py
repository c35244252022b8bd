"""Where accounts are found."""

from __future__ import annotations

import os

import pytest

from flow_azure.settings import client_config
from flow_azure.store import AzureStore
from flow_core.api import StoreError, UsageError

NONE = {"azure_account": "", "azure_endpoint_url": ""}


def test_variables_of_the_tools():
    found = {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "k"}
    assert client_config(NONE, found) == {"account_name": "a", "account_key": "k"}


def test_connection_string():
    text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=k==;EndpointSuffix=core.example"
    assert client_config(NONE, {"AZURE_STORAGE_CONNECTION_STRING": text}) == {
        "account_name": "a",
        "account_key": "k==",
        "endpoint": "https://a.blob.core.example",
    }


def test_emulator():
    text = {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}
    found = client_config(NONE, text)
    assert found["endpoint"] == "http://127.0.0.1:10000/devstoreaccount1"
    assert found["account_name"] == "devstoreaccount1"


def test_settings_come_first():
    settings = {"azure_account": "b", "azure_endpoint_url": "http://x/b"}
    found = client_config(settings, {"AZURE_STORAGE_ACCOUNT": "a"})
    assert found == {"account_name": "b", "endpoint": "http://x/b"}


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({}, "needs a storage account"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "nonsense"}, "names no account"),
    ],
)
def test_what_is_missing_is_told(variables, what):
    with pytest.raises(UsageError, match=what) as caught:
        client_config(NONE, variables)
    assert caught.value.hint


@pytest.mark.parametrize("root", ["azure://c/p/", "az://c/p", "c/p"])
def test_urls(root):
    assert AzureStore(root).url == "azure://c/p"


def test_no_container():
    with pytest.raises(UsageError, match="needs a container"):
        AzureStore()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_STORAGE_KEY", "no-base64"),
        ("AZURE_STORAGE_BLOB_ENDPOINT", "127.0.0.1:1"),
        ("AZURE_STORAGE_ACCOUNT", "a b"),
    ],
)
def test_what_makes_no_client(monkeypatch, name, value):
    for variable in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "ada")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "bm90YmFzZTY0")
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError) as caught:
        AzureStore("container/x").folders()
    error = caught.value
    assert error.what == "Cannot list the store"
    assert (error.why or "").startswith("these settings make no client: ")
    assert "AZURE_STORAGE_KEY" in (error.hint or "")
    assert "AZURE_STORAGE_BLOB_ENDPOINT" in (error.hint or "")


def test_containers_of_one_name_are_told_apart(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    found = set()
    for account in ("ada", "bob"):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", account)
        found.add(AzureStore("container/x").identity)
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", "http://127.0.0.1:1/bob")
    found.add(AzureStore("container/x").identity)
    assert found == {
        f"azure://container/x at {a}" for a in ("ada", "bob", "http://127.0.0.1:1/bob")
    }
