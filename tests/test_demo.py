"""``make demo``: the main job on real films, with the faults that real data has."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flow_core.api import RunState

MOVIES = Path(__file__).parents[1] / "examples" / "movies"
NO_GENRE = "(no genre)"

pytest.importorskip("pandas")
pytest.importorskip("jinja2")  # of flow-cards


@pytest.fixture(scope="module")
def demo(module_lab):
    """The demo's run, in a folder that is not the repository's."""
    module_lab.tester.more_plugins = ["cards"]
    done = module_lab.python(MOVIES / "movies_flow.py", "run", timeout=120).check()
    return done, module_lab.left(1, "MoviesFlow")


def test_the_run_succeeds(demo):
    done, run = demo
    assert run.state is RunState.SUCCEEDED
    assert "3,201 films in 13 groups" in done.stdout
    assert "12 genres, 1 group refused" in done.stdout


def test_each_genre_is_a_task(demo):
    _, run = demo
    genres = [task["genre"] for task in run.artifacts("quartiles")]
    assert len(genres) == len(set(genres)) == 13
    assert NO_GENRE in genres
    assert "Western" in genres


def test_films_without_a_genre_are_tried_again_and_caught(demo):
    done, run = demo
    states = {}
    for manifest in run.manifests("quartiles"):
        states.setdefault(manifest.foreach[0].index, []).append(manifest.state.value)
    assert states.pop(0) == ["failed", "failed", "caught"]  # "(" sorts before all letters
    assert set(map(tuple, states.values())) == {("succeeded",)}
    assert done.stdout.count("and will be tried again") == 2


def test_the_refused_group_is_named(demo):
    _, run = demo
    refused = run.artifact("end", "refused_groups")
    assert refused == {NO_GENRE: "ValueError: 275 films have no genre (attempt 3 of 3)"}


def test_the_table(demo):
    _, run = demo
    table = run.artifact("end", "table")
    assert list(table.columns) == ["genre", "films", "unknown", "q1", "median", "q3"]
    assert len(table) == 12
    assert NO_GENRE not in set(table["genre"])
    assert (table["q1"] <= table["median"]).all()
    assert (table["median"] <= table["q3"]).all()
    assert table["median"].is_monotonic_decreasing
    films = run.artifact("start", "films")
    assert len(films) == 3201
    assert table["films"].sum() + table["unknown"].sum() == 3201 - 275


def test_the_report(module_lab, demo):
    done = module_lab.python(MOVIES / "report.py").check()
    assert done.stderr == ""
    assert "Worldwide gross in millions of dollars, by genre (run MoviesFlow/1)" in done.stdout
    for genre in demo[1].artifact("end", "table")["genre"]:
        assert f"  {genre} " in done.stdout
    assert (
        "Refused: (no genre): ValueError: 275 films have no genre (attempt 3 of 3)" in done.stdout
    )
    *said, empty, last = done.stdout.partition("Try next:\n")[2].strip().splitlines()
    assert (len(said), empty) == (3, "")
    (card,) = (module_lab.root / "runs/MoviesFlow/1/run-cards").iterdir()
    assert last == f"Card of the run: {card}"
    assert said[1].strip() == ".venv/bin/flow logs MoviesFlow/1/quartiles"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_commands_to_try_next_work(module_lab, demo, number):
    said = module_lab.python(MOVIES / "report.py").check().stdout.partition("Try next:\n")[2]
    words = said.strip().splitlines()[number].split()
    program = {
        ".venv/bin/python": [sys.executable],
        ".venv/bin/flow": [sys.executable, "-c", "from flow_core.cli import main; main()"],
    }[words[0]]
    arguments = [
        str(MOVIES / Path(word).name) if word.startswith("examples/") else word
        for word in words[1:]
    ]
    module_lab.tester.command([*program, *arguments], timeout=120).check()


def test_each_genre_and_the_table_have_a_card(module_lab, demo):
    done, _ = demo
    folder = module_lab.root / "runs/MoviesFlow/1"
    pages = {page: page.read_text() for page in folder.glob("quartiles/*/*/cards/*.html")}
    assert len(pages) == 15  # of each attempt
    western = [text for text in pages.values() if ">Western</h1>" in text]
    assert len(western) == 1
    assert "How much these films earned" in western[0]
    refused = [text for text in pages.values() if "275 films have no genre" in text]
    assert len(refused) == 3
    (table,) = folder.glob("join/*/*/cards/*.html")
    assert "Worldwide gross by genre, millions of dollars" in table.read_text()
    (whole,) = (folder / "run-cards").iterdir()
    assert "each of genres" in whole.read_text()
    assert f"Card of the run: {whole}" in done.stdout


def test_the_report_without_a_run(lab):
    lab.tester.more_plugins = ["cards"]
    done = lab.python(MOVIES / "report.py")
    assert done.returncode == 1
    assert "python movies_flow.py run" in done.stderr


def test_the_run_is_reproduced_bit_by_bit(module_lab, demo):
    """In another folder; this comes last, since the report is about the latest run."""
    done = module_lab.tester.flow("reproduce", "MoviesFlow/1", timeout=120).check()
    assert done.stderr == ""
    for step, tasks in (("start", 1), ("quartiles", 13), ("join", 1), ("end", 1)):
        assert re.search(rf"^{step} +{tasks} +\d+  yes$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("\nAll 4 steps are bit-equal.\n")
