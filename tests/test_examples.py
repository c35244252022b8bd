"""The examples: each page is true, and each flow does with its data what the page says."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from flow_core.api import RunState, Session, Settings
from flow_core.testing import FlowTester, ProcessResult, RunOutcome

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NEEDS = {
    "champion": ("sklearn", "pandas", "vega_datasets"),
    "cross_validation": ("sklearn", "palmerpenguins"),
    "hybrid": ("palmerpenguins", "flow_cards"),
    "inhouse": ("pandas", "pyarrow", "opentelemetry.sdk"),
    "sweep": ("sklearn",),
    "training": ("sklearn",),
    "two_pandas": ("flow_pypi",),
}


def need(example: str) -> None:
    """Skip the test where a package is absent; but CI has all of them, or something is wrong."""
    for package in NEEDS[example]:
        if os.environ.get("CI"):
            importlib.import_module(package)
        else:
            pytest.importorskip(package)
    if example == "two_pandas" and not os.environ.get("CI") and not _is_offered("pandas==3.*"):
        pytest.skip("no index that offers pandas 3 is in reach")


def _is_offered(requirement: str) -> bool:
    """Whether pip finds a wheel for ``requirement`` here; nothing is installed."""
    options = ["--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--no-input"]
    command = [sys.executable, "-m", "pip", "install", *options, requirement]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


def _blocks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_blocks", ROOT / "docs/blocks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("docs_blocks", module)
    spec.loader.exec_module(module)
    return module


def test_each_example_is_tested_and_has_a_page():
    folders = {page.parent.name for page in EXAMPLES.glob("*/*_flow.py")} - {"movies"}
    assert folders == set(NEEDS)
    assert all((EXAMPLES / name / "README.md").is_file() for name in folders)


class Page(NamedTuple):
    """What running the blocks of an example's page left behind."""

    wrong: list[str]
    tester: FlowTester

    def left(self, run: int, flow: str) -> RunOutcome:
        return self.tester.left(run, flow)

    def run_again(self, flow_file: str, *arguments: str) -> ProcessResult:
        return self.tester.python(
            self.tester.path / flow_file,
            "run",
            *arguments,
            variables={"FLOW_USER": "ada"},  # whose runs those of the page are
            timeout=120,
        )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Page]:
    """Return a function that runs an example's page, once, in a folder with the example's files."""
    blocks, seen = _blocks(), {}

    def run(example: str) -> Page:
        if example not in seen:
            need(example)
            folder = tmp_path_factory.mktemp("flow-docs-", numbered=True)
            file = EXAMPLES / example / "README.md"
            blocks.lay_out(file, folder)
            wrong = [
                f"{file.relative_to(ROOT)}:{trouble.line}\n{trouble.text}"
                for _, trouble, _ in blocks.run_page(file.read_text(encoding="utf-8"), folder)
                if trouble is not None
            ]
            seen[example] = Page(wrong, FlowTester(folder))
        return seen[example]

    return run


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older libraries compute other digits")
@pytest.mark.parametrize("example", sorted(NEEDS))
def test_the_page_shows_what_is_printed(page, example):
    wrong = page(example).wrong
    assert not wrong, "\n\n".join(wrong) + "\n\nIf it is right: docs/blocks.py examples/…/README.md"


def test_the_sweep_finds_the_best_setting(page):
    run = page("sweep").left(1, "SweepFlow")
    tried = {(task["settings"]["C"], task["settings"]["gamma"]) for task in run.artifacts("train")}
    assert len(tried) == len(run.manifests("train")) == 12
    ranking = run.artifact("compare", "ranking")
    scores = [score for _, score in ranking]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.95 > 0.5 > scores[-1]
    assert run.artifact("end", "settings") == ranking[0][0]
    assert run.artifact("end", "accuracy") > 0.95


def test_a_wider_grid_takes_over_what_was_trained(page):
    states = [m.state.value for m in page("sweep").left(2, "SweepFlow").manifests("train")]
    assert sorted(states) == ["reused"] * 9 + ["succeeded"] * 3


def test_each_penguin_is_predicted_once_by_each_model(page):
    run = page("cross_validation").left(1, "CrossValidationFlow")
    folds = run.artifacts("validate")
    assert len(folds) == 4 * 5
    for model in run.artifacts("mark"):
        mine = [f for f in folds if f["model_name"] == model["model_name"]]
        assert sorted(row for fold in mine for row in fold["held_out"]) == list(range(342))
        assert model["accuracies"] == [fold["accuracy"] for fold in mine]


def test_the_best_model_is_chosen(page):
    run = page("cross_validation").left(1, "CrossValidationFlow")
    marks, best = run.artifact("end", "marks"), run.artifact("end", "best")
    assert list(marks) == list(run.artifact("start", "models"))
    means = {name: sum(accuracies) / 5 for name, accuracies in marks.items()}
    assert max(means, key=means.__getitem__) == best
    assert means["most frequent"] < 0.5 < 0.9 < means[best]
    confusion = run.artifact("end", "confusion")
    assert confusion.sum() == 342
    assert confusion.trace() / 342 == pytest.approx(means[best], abs=0.01)


def test_a_better_challenger_becomes_champion_and_others_do_not(page):
    runs = [page("champion").left(n, "ChampionFlow") for n in (1, 2, 3)]
    assert [r.artifact("compare", "verdict") for r in runs] == ["promote", "promote", "keep"]
    assert [r.artifact("end", "champion").run for r in runs] == [
        "ChampionFlow/1",
        "ChampionFlow/2",
        "ChampionFlow/2",
    ]
    assert [len(r.manifests("promote")) for r in runs] == [1, 1, 0]
    assert [len(r.manifests("keep")) for r in runs] == [0, 0, 1]
    tags = [r.metadata.run("ChampionFlow", r.run).tags for r in runs]
    assert ["promoted" in tags[n] for n in range(3)] == [True, True, False]
    assert "kept" in tags[2]


def test_a_champion_is_not_judged_by_what_it_has_seen(page):
    done = page("champion").run_again("champion_flow.py", "--until", "2014-01-31")
    assert done.returncode == 1
    assert "has seen the days from 2013-11-02" in done.error["why"]


def test_a_training_that_died_goes_on_as_if_nothing_had_happened(page):
    died, resumed, whole = (page("training").left(n, "TrainingFlow") for n in (1, 2, 3))
    assert died.state is RunState.FAILED
    states = [[m.state.value for m in run.manifests("train")] for run in (resumed, whole)]
    rounds = len(whole.artifact("end", "errors"))
    assert states == [["reused"] * 4 + ["succeeded"] * (rounds - 4), ["succeeded"] * rounds]
    assert resumed.artifact("end", "errors") == whole.artifact("end", "errors")


def test_a_training_ends_when_it_no_longer_helps(page):
    errors = page("training").left(3, "TrainingFlow").artifact("end", "errors")
    assert 3 < len(errors) < 20
    assert min(errors) > 0.99 * min(errors[:-3])
    assert errors[0] > 2 * min(errors)


def test_the_tests_of_a_companys_plugins_pass(page):
    """They need the distribution installed, as their author has it: in a process that sees it."""
    folder = page("inhouse").tester.path
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("FLOW_", "PYTEST_"))},
            "PYTHONPATH": str(folder / ".site"),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout.splitlines()[-1]


# --- hybrid: here, and on each kind of cluster -------------------------------------------------

MISTAKES = {1: 6, 3: 4, 5: 5, 9: 4, 15: 6, 25: 7}


def test_the_neighbours_are_tried_out_here_where_there_is_no_cluster(page):
    run = page("hybrid").left(1, "HybridFlow")
    assert run.artifact("compare", "wrong") == MISTAKES
    assert run.artifact("end", "best") == 3
    assert len(run.artifact("compare", "machines")) == 1


@pytest.mark.parametrize("cluster", ["container", "kubernetes", "slurm"])
def test_the_neighbours_are_tried_out_on_a_cluster(page, cluster, tmp_path, request, monkeypatch):
    """Nothing of it differs from the run of the page, but where the tasks ran."""
    here = page("hybrid").left(1, "HybridFlow")
    shutil.copytree(EXAMPLES / "hybrid", tmp_path, dirs_exist_ok=True)
    tester = FlowTester(tmp_path)
    tester.more_plugins = ["cards", "remote", "objectstore", "s3", cluster]
    choice = ["--config", "cluster", f"{cluster}.json"]
    variables = CLUSTERS[cluster](request)
    flow = [sys.executable, "hybrid_flow.py", *choice]
    tester.command([*flow, "run"], variables=variables, timeout=250).check()
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # keys of a store are found there
    with Session(settings=Settings(tester.environment(None, variables))) as session:
        found = RunOutcome("HybridFlow", session.store, session.metadata, run="1")
        compare_tasks(here, found)
    listed = "from flow_core import Flow, get_cards; run = Flow('HybridFlow')['1']; "
    listed += "print([len(get_cards(task)) for step in run for task in step])"
    cards = tester.command([sys.executable, "-c", listed], variables=variables).check().stdout
    assert cards == f"{[1] * 9}\n"


def compare_tasks(here, found):
    """Compare all artifacts of all tasks; some tell where the tasks ran, and differ."""
    for step, own in {
        "start": {"cluster", "read_on"},
        "try_out": {"cluster", "read_on", "tried_on"},
        "compare": {"cluster", "machines"},
        "end": {"cluster", "machines"},
    }.items():
        for ours, theirs in zip(here.manifests(step), found.manifests(step), strict=True):
            assert ours.artifacts.keys() == theirs.artifacts.keys()
            different = {
                n for n, ref in ours.artifacts.items() if ref[:4] != theirs.artifacts[n][:4]
            }
            assert different <= own


def _in_containers(request):
    podman = request.getfixturevalue("podman")
    return {
        **podman.environment(),
        "FLOW_CONTAINER_IMAGE": podman.python_image,
        "FLOW_CONTAINER_PULL": "never",
    }


def _on_slurm(request):
    request.getfixturevalue("slurm")  # which says in a variable where it is
    return {"FLOW_SLURM_POLL": "0.5"}


def _on_kubernetes(request):
    kubernetes, bucket = (request.getfixturevalue(name) for name in ("kubernetes", "bucket"))
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    keys = {name: bucket.environment()[name] for name in names}
    secret = {"metadata": {"name": "store"}, "stringData": keys}
    kubernetes.core().create_namespaced_secret(kubernetes.namespace, secret)
    return {
        **kubernetes.environment(),
        **bucket.environment(),
        "FLOW_DATASTORE": bucket.url,
        "FLOW_KUBERNETES_SECRETS": "store",
    }


CLUSTERS = {"kubernetes": _on_kubernetes, "container": _in_containers, "slurm": _on_slurm}


@pytest.mark.parametrize(
    "file", sorted((EXAMPLES / "inhouse").rglob("*.py")), ids=lambda file: file.name
)
def test_a_companys_plugins_use_the_public_api_only(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        ours = [name for name in names if name and name.startswith("flow_")]
        assert {name for name in ours if not name.startswith("flow_acme")} <= {
            "flow_core",
            "flow_core.api",
            "flow_core.testing",
        }


def test_two_versions_of_pandas_come_to_the_same(page):
    run = page("two_pandas").left(1, "TwoPandasFlow")
    versions = run.artifact("compare", "pandas")
    assert [version.partition(".")[0] for version in versions] == ["2", "3"]
    assert run.artifact("compare", "text_types") == ["object", "str"]
    assert run.artifact("compare", "differing") == []
    table = run.artifact("end", "table")
    assert len(table) == 12
    assert all(q1 <= median <= q3 for q1, median, q3 in table.values())
