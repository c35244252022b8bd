"""Where credentials are found."""

from __future__ import annotations

import json

import pytest

from flow_core.api import PluginError, UsageError
from flow_gs.settings import access
from flow_gs.store import GoogleStore

NONE = {"gs_credentials": "", "gs_billing_project": "", "gs_endpoint_url": ""}


@pytest.fixture
def home(tmp_path):
    def write(kind, name=".config/gcloud/application_default_credentials.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"type": kind}))
        return str(path)

    return {"HOME": str(tmp_path)}, write


def test_nothing_is_named(home):
    environment, _ = home
    assert access(NONE, environment) == ({}, {}, "")


def test_what_gcloud_has_left(home):
    environment, write = home
    path = write("authorized_user")
    assert access(NONE, environment).config == {"application_credentials": path}


def test_the_folder_of_gcloud(home, tmp_path):
    environment, write = home
    write("authorized_user")
    path = write("authorized_user", "other/application_default_credentials.json")
    environment["CLOUDSDK_CONFIG"] = str(tmp_path / "other")
    assert access(NONE, environment).config == {"application_credentials": path}


def test_the_variable_comes_before_that_and_the_setting_first(home):
    environment, write = home
    write("authorized_user")
    by_variable, by_setting = write("service_account", "v.json"), write("service_account", "s.json")
    environment["GOOGLE_APPLICATION_CREDENTIALS"] = by_variable
    assert access(NONE, environment).config == {"service_account": by_variable}
    settings = {**NONE, "gs_credentials": by_setting}
    assert access(settings, environment).config == {"service_account": by_setting}


def test_other_kinds_need_the_library(home, monkeypatch):
    environment, write = home
    path = write("external_account", "e.json")
    found = access({**NONE, "gs_credentials": path}, environment)
    assert (found.config, found.library) == ({}, path)
    monkeypatch.setitem(__import__("sys").modules, "google.auth", None)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(PluginError) as caught:
        GoogleStore("b", settings={"gs_credentials": path}).size("a")
    assert caught.value.hint == 'pip install "flow-gs[auth]"'
    assert caught.value.where == path


@pytest.mark.parametrize(
    ("host", "url"),
    [("localhost:4443", "http://localhost:4443"), ("http://here:1/", "http://here:1")],
)
def test_an_emulator(host, url):
    found = access(NONE, {"STORAGE_EMULATOR_HOST": host})
    told = json.loads(found.config["service_account_key"])
    assert (told["gcs_base_url"], told["disable_oauth"]) == (url, True)


def test_another_address_and_who_pays(home):
    environment, write = home
    path = write("service_account", "s.json")
    settings = {
        "gs_credentials": path,
        "gs_billing_project": "team",
        "gs_endpoint_url": "https://storage.private.example/",
    }
    found = access(settings, {**environment, "GOOGLE_CLOUD_QUOTA_PROJECT": "other"})
    assert found.config == {
        "base_url": "https://storage.private.example",
        "service_account": path,
    }
    assert found.headers == {"x-goog-user-project": "team"}


@pytest.mark.parametrize(("text", "why"), [(None, "No such file"), ("{}", "no JSON file with")])
def test_a_file_that_is_none(tmp_path, text, why):
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as caught:
        access(NONE, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    assert caught.value.where == "the variable GOOGLE_APPLICATION_CREDENTIALS"
    assert why in caught.value.why


@pytest.mark.parametrize("root", ["gs://b/p/", "gcs://b/p", "b/p"])
def test_urls(root):
    assert GoogleStore(root).url == "gs://b/p"


def test_no_bucket():
    with pytest.raises(UsageError, match="needs a bucket"):
        GoogleStore()
