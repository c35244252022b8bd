"""Variables and files of the predecessor as settings of flow-core."""

import json

import pytest

from flow_core.api import SettingsError
from flow_metaflow import environment


@pytest.fixture
def variables(monkeypatch, tmp_path):
    """Set variables of the predecessor, in a home and a folder that have no files of its."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def set_variables(**given):
        for name, value in given.items():
            monkeypatch.setenv(f"METAFLOW_{name}", value)
        return environment.variables()

    return set_variables


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"USER": "ada"}, "FLOW_USER", "ada"),
        ({"DEFAULT_DECOSPECS": "retry catch:var=x"}, "FLOW_WITH", "retry catch:var=x"),
        ({"RUN_ALPHA": "3"}, "FLOW_RUN_ALPHA", "3"),
        ({"FLOW_PRODUCTION": "1"}, "FLOW_RUN_PRODUCTION", "1"),
        ({"FLOW_CONFIG": '{"a": "b.json"}'}, "FLOW_CONFIG", '{"a": "b.json"}'),
        ({"RUN_MAX_WORKERS": "3"}, "FLOW_MAX_WORKERS", "3"),
        (
            {"DEFAULT_DATASTORE": "s3", "DATASTORE_SYSROOT_S3": "s3://b/p"},
            "FLOW_DATASTORE",
            "s3://b/p",
        ),
        ({"DATASTORE_SYSROOT_LOCAL": "/data"}, "FLOW_DATASTORE", "local:///data/.flow"),
        (
            {"DEFAULT_DATASTORE": "azure", "DATASTORE_SYSROOT_AZURE": "box/p"},
            "FLOW_DATASTORE",
            "azure://box/p",
        ),
        ({"DEFAULT_PACKAGE_SUFFIXES": ".csv,.py"}, "FLOW_CODE_SUFFIXES", ".py,.R,.RDS,.csv"),
        ({}, "FLOW_CODE_SUFFIXES", ".py,.R,.RDS"),
    ],
)
def test_counterparts(variables, given, name, value):
    assert environment.counterparts(variables(**given), {})[name] == value


def test_what_is_set_for_flow_core_stands(variables, monkeypatch):
    monkeypatch.setenv("FLOW_USER", "bob")
    monkeypatch.setenv("FLOW_PLUGINS", "no:terminal")
    monkeypatch.setenv("FLOW_CODE_SUFFIXES", "")
    variables(USER="ada")
    environment.take_over()
    environment.take_over()
    assert environment.os.environ["FLOW_USER"] == "bob"
    assert environment.os.environ["FLOW_PLUGINS"] == "no:terminal,flow_metaflow.hooks"


def test_files(variables, monkeypatch, tmp_path):
    home = tmp_path / ".metaflowconfig"
    home.mkdir()
    (home / "config.json").write_text(json.dumps({"METAFLOW_USER": "eve", "METAFLOW_UI_URL": "u"}))
    (home / "config_work.json").write_text(
        json.dumps({"METAFLOW_USER": "joe", "METAFLOW_CONTACT_INFO": {"a": "b"}})
    )
    assert variables()["USER"] == "eve"
    assert variables(PROFILE="work")["USER"] == "joe"
    assert "UI_URL" not in variables()
    assert environment.config_value("CONTACT_INFO") == {"a": "b"}
    (tmp_path / ".metaflow").mkdir()
    (tmp_path / ".metaflow/config.json").write_text('{"METAFLOW_USER": "pat"}')
    assert variables()["USER"] == "pat"
    assert variables(USER="ada")["USER"] == "ada"
    with pytest.raises(SettingsError, match="There is no profile 'nope'"):
        variables(PROFILE="nope")
    (tmp_path / ".metaflow/config.json").write_text("[]")
    with pytest.raises(SettingsError, match="cannot be read"):
        variables(PROFILE="work")


def test_what_has_no_effect_is_said(variables):
    said = environment.warnings(
        variables(SERVICE_URL="http://x", DEFAULT_METADATA="service", DEFAULT_ENVIRONMENT="uv")
    )
    assert [text.partition(" has no effect")[0] for text in said] == [
        "METAFLOW_SERVICE_URL",
        "METAFLOW_DEFAULT_METADATA",
        "METAFLOW_DEFAULT_ENVIRONMENT",
    ]
    assert environment.warnings({}) == []


def test_environments_that_a_plugin_makes():
    given = {"DEFAULT_ENVIRONMENT": "conda"}
    assert environment.warnings(given) == []
    assert environment.counterparts(given, {})["FLOW_ENVIRONMENT"] == "conda"


def test_values_that_people_read(variables):
    assert environment.config_value("DEFAULT_DATASTORE") == "local"
    variables(DEFAULT_DATASTORE="s3", INCLUDE_FOREACH_STACK="0", S3_RETRY_COUNT="3")
    assert environment.config_value("DEFAULT_DATASTORE") == "s3"
    assert environment.config_value("INCLUDE_FOREACH_STACK") is False
    assert environment.config_value("S3_RETRY_COUNT") == 3
    with pytest.raises(AttributeError, match=r"DEFAULT_DATASTOR is not offered.*DEFAULT_DATASTORE"):
        environment.config_value("DEFAULT_DATASTOR")
