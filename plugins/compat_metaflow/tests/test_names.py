"""The names of the predecessor: what they mean, and what is said of those that are not offered."""

import importlib
import sys

import pytest

import flow_core
from flow_core.api import UsageError
from flow_metaflow import finder, names
from flow_metaflow.commands import own_commands
from flow_metaflow.names import MODULES, find_name, offered, why_missing


@pytest.fixture
def metaflow(monkeypatch, tmp_path):
    """The package in this process, and nothing of it afterwards."""
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FLOW_PLUGINS", "")
    monkeypatch.setenv("FLOW_CODE_SUFFIXES", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    import flow_metaflow

    flow_metaflow.install()
    yield importlib.import_module("metaflow")
    for name in [n for n in sys.modules if n.partition(".")[0] == "metaflow"]:
        del sys.modules[name]


def test_every_offered_name_is_there(metaflow):
    for module in MODULES:
        for name in offered(module):
            assert find_name(module, name) is not None
    assert metaflow.retry is flow_core.retry
    assert metaflow.current is flow_core.current
    assert metaflow.exception.MetaflowException.headline == "Flow failed"
    assert metaflow.__version__.startswith("2.")


@pytest.mark.parametrize("module", [m for m in MODULES if MODULES[m]])
def test_each_name_is_there_or_says_why(metaflow, module):
    usable = offered(module)
    for name in MODULES[module]:
        space = {}
        if name in usable or f"{module}.{name}" in MODULES:
            exec(f"from {module} import {name}", space)
            assert name in space
        else:
            with pytest.raises(ImportError, match=f"{name} is not offered by flow-metaflow"):
                exec(f"from {module} import {name}", space)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("from metaflow import batch", ["metaflow.batch is not offered", "AWS Batch"]),
        ("from metaflow import kubernetes", ["a decorator of flow-kubernetes"]),
        ("from metaflow import card", ["old flows cannot leave cards yet"]),
        (
            "from metaflow.cards import Markdown, Table",
            ["metaflow.cards is not", "cannot leave cards yet"],
        ),
        ("import metaflow.plugins.cards.card_client", ["old flows cannot leave cards yet"]),
        ("from metaflow import ArgoEvent", ["metaflow.ArgoEvent is not", "flow-argo"]),
        ("from metaflow.runner.deployer import Deployer", ["flow-argo"]),
        ("from metaflow import debug", ["part of the inside of Metaflow", "leave it out"]),
        (
            "from metaflow.metaflow_config import DATASTORE_SYSROOT_S33",
            ["did you mean", "'DATASTORE_SYSROOT_S3'"],
        ),
        ("from metaflow import retri", ["metaflow.retri is not offered", "'retry'"]),
        ("from metaflow.exception import MetaflowExeption", ["did you mean", "MetaflowException"]),
        ("import metaflow.procpoll", ["part of the inside of Metaflow"]),
        ("from metaflow.decorators import StepDecorator", ["extensions of Metaflow"]),
    ],
)
def test_what_is_not_offered_says_so_by_name(metaflow, statement, words):
    with pytest.raises(ImportError) as caught:
        exec(statement, {})
    for word in words:
        assert word in str(caught.value)
    error = caught.value
    assert error.where == "<string>:1" or error.where.startswith(__file__)
    assert error.why
    assert error.hint


def test_s3_needs_a_plugin(metaflow, monkeypatch):
    monkeypatch.setitem(names._NEEDED, "flow_metaflow.datatools", "NoSuchName")
    for module in ("metaflow", "metaflow.plugins.datatools.s3", "metaflow.datatools"):
        assert "S3" not in offered(module)
        with pytest.raises(ImportError, match="S3 is not offered") as caught:
            exec(f"from {module} import S3", {})
        assert caught.value.why == "no installed plugin of flow-core offers S3"
        assert caught.value.hint == "pip install flow-s3"


def test_names_can_be_asked_for(metaflow):
    assert not hasattr(metaflow, "batch")
    assert hasattr(metaflow, "retry")
    with pytest.raises(AttributeError, match="AWS Batch"):
        _ = metaflow.batch
    space = {}
    exec("from metaflow import *", space)
    assert {"FlowSpec", "step", "Flow", "retry"} <= set(space)
    assert "batch" not in space
    for part in why_missing("metaflow.batch"):
        assert part in str(finder.missing_module("metaflow.batch"))


def test_another_one_that_was_imported_first(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    (tmp_path / "metaflow.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("metaflow")
    try:
        with pytest.raises(ImportError, match=r"has been imported already, from .*metaflow\.py"):
            finder.install()
    finally:
        del sys.modules["metaflow"]


@pytest.mark.parametrize(
    "name",
    ["card", "kubernetes", "batch", "argo-workflows", "step-functions", "airflow", "init", "step"],
)
def test_commands_that_are_not_offered(name):
    with pytest.raises(UsageError, match=f"The command '{name}' is not offered") as caught:
        own_commands()[name].build(None)
    assert caught.value.where
    assert caught.value.why
    assert caught.value.hint
