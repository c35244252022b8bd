"""`Flow`: its runs, newest first, a page at a time."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flow_client import Flow, NamespaceMismatch, ObjectNotFound, Run, flows
from flow_client.reader import moment
from flow_core.api import RunState, UsageError


def test_runs_come_newest_first(past: Any) -> None:
    for number in range(1, 4):
        past.run(str(number))
    flow = Flow("F")
    assert [run.id for run in flow] == ["3", "2", "1"]
    assert flow.latest_run == Run("F/3")
    assert flow["2"] == flow[2] == Run("F/2")
    assert "2" in flow
    assert "9" not in flow
    assert flow.pathspec == flow.id == "F"
    assert flow.parent is None
    assert flow._ipython_key_completions_() == ["3", "2", "1"]


def test_the_latest_successful_run_is_not_the_latest(past: Any) -> None:
    past.run("1")
    past.run("2", "failed")
    assert Flow("F").latest_successful_run == Run("F/1")
    assert Flow("F").latest_run == Run("F/2")


def test_a_flow_begins_with_its_oldest_run_and_ends_with_its_newest(past: Any) -> None:
    past.run("1", finished_at=1500.0)
    past.run("2", finished_at=1600.0)
    past.run("3", user="eve", created_at=900.0)
    flow = Flow("F")
    assert flow.created_at == moment(1001.0)
    assert flow.finished_at == moment(1600.0)
    assert (flow.tags, flow.user_tags, flow.system_tags) == (frozenset(),) * 3
    assert flow.origin_pathspec is None
    past.run("4", "running")
    assert flow.finished_at is None


def test_a_flow_without_success_has_no_latest_successful_run(past: Any) -> None:
    past.run("1", "failed")
    assert Flow("F").latest_successful_run is None


def test_runs_are_filtered_by_tags_state_and_number(past: Any) -> None:
    past.run("1", tags=["a", "b"])
    past.run("2", "failed", tags=["a"])
    past.run("3", tags=["b"])
    runs = Flow("F").runs
    assert [r.id for r in runs("a")] == ["2", "1"]
    assert [r.id for r in runs("a", "b")] == ["1"]
    assert [r.id for r in runs(state="failed")] == ["2"]
    assert [r.id for r in runs(limit=2)] == ["3", "2"]
    assert list(runs(limit=0)) == []


def test_lost_runs_are_told_from_running_ones(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time())
    past.run("2", "running", heartbeat_at=time.time() - 120)
    assert [r.id for r in Flow("F").runs(state="running")] == ["1"]
    assert [r.id for r in Flow("F").runs(state="lost")] == ["2"]


def test_an_unknown_state_is_refused(past: Any) -> None:
    past.run("1")
    with pytest.raises(UsageError, match="There is no state 'fail' of a run") as caught:
        Flow("F").runs(state="fail")
    assert caught.value.hint == "did you mean 'failed'?"


def test_a_flow_that_never_ran_says_what_did(past: Any) -> None:
    past.run("1", flow="MoviesFlow")
    with pytest.raises(ObjectNotFound) as caught:
        Flow("MovieFlow")
    assert str(caught.value) == (
        "There is no flow 'MovieFlow'\n"
        "  where: memory://here\n"
        "  why:   the index knows no run of it\n"
        "  try:   did you mean 'MoviesFlow'?"
    )


def test_where_nothing_ran_the_hint_says_how_to_run(past: Any) -> None:
    with pytest.raises(ObjectNotFound) as caught:
        Flow("F")
    assert caught.value.hint == "run one first: python my_flow.py run"


def test_a_long_history_is_read_page_by_page(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(250):
        past.run(str(number))
    limits: list[int] = []
    real = past.session.metadata.runs

    def runs(*arguments: Any, **options: Any) -> Any:
        limits.append(options["limit"])
        return real(*arguments, **options)

    monkeypatch.setattr(past.session.metadata, "runs", runs)
    flow = Flow("F")
    assert len(list(itertools.islice(flow.runs(), 5))) == 5
    assert limits == [1, 100]
    assert len({run.id for run in flow}) == 250
    assert max(limits) == 100


def test_states_cover_all_that_the_index_knows() -> None:
    from flow_client.run import ENDED

    assert {"created", "running", *ENDED} == {s.value for s in RunState}


def test_a_lost_index_is_told_from_a_flow_that_never_ran(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("1")
    metadata = past.session.metadata
    monkeypatch.setattr(metadata, "run", lambda *_: None)
    monkeypatch.setattr(metadata, "runs", lambda *_, **__: [])
    monkeypatch.setattr(metadata, "flows", list)
    for missing in (lambda: Flow("F"), lambda: Run("F/1")):
        with pytest.raises(ObjectNotFound, match="The index does not know the") as caught:
            missing()
        assert caught.value.hint == "flow reindex"


def test_runs_are_found_by_time_user_and_parameters(past: Any) -> None:
    for number, alpha in enumerate((3, "3", 3.0, [1, 2])):
        past.run(str(number), user="ada", parameters={"alpha": alpha}, created_at=1000.0 + number)
    runs = Flow("F").runs
    assert [r.id for r in runs(parameters={"alpha": 3})] == ["2", "0"]
    assert [r.id for r in runs(parameters={"alpha": "3"})] == ["1"]
    assert [r.id for r in runs(parameters={"alpha": (1, 2)})] == ["3"]
    assert list(runs(parameters={"beta": 3})) == []
    middle = datetime.fromtimestamp(1002, timezone.utc)
    assert [r.id for r in runs(since=middle)] == ["3", "2"]
    assert [r.id for r in runs(until=middle)] == ["1", "0"]
    assert list(runs(since="7d")) == list(runs(since=timedelta(days=7))) == []
    assert len(list(runs(user="ada"))) == 4
    assert list(runs(user="bob")) == []
    assert [r.id for r in runs(state=["failed", "succeeded"], limit=1)] == ["3"]


def test_pages_stay_while_runs_are_added(past: Any) -> None:
    for number in range(1, 6):
        past.run(str(number))
    first = list(Flow("F").runs(limit=2))
    past.run("6")
    second = list(Flow("F").runs(limit=2, before=first[-1]))
    assert [r.id for r in (*first, *second)] == ["5", "4", "3", "2"]
    assert [r.id for r in Flow("F").runs(before="F/2")] == ["1"]
    with pytest.raises(ObjectNotFound):
        Flow("F").runs(before="99")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"since": "yesterday"}, "'yesterday' is no time"),
        ({"parameters": {"alpha": object()}}, "Runs cannot be found by the value"),
        ({"limit": -1}, "limit is how many"),
    ],
)
def test_filters_that_mean_nothing_are_refused(past: Any, wrong: Any, text: str) -> None:
    past.run("1")
    with pytest.raises(UsageError, match=text):
        Flow("F").runs(**wrong)


def test_the_flows_are_listed_and_taken_by_name(past: Any) -> None:
    past.run("1", flow="B")
    past.run("2", flow="A")
    past.run("3", flow="C", user="bob")
    found = flows()
    assert found.flows == list(found) == [found["A"], found["B"]]
    assert len(found) == 2
    assert "A" in found
    assert "C" not in found
    assert repr(found) == "<Flows A, B>"
    assert found._ipython_key_completions_() == ["A", "B"]
    with pytest.raises(NamespaceMismatch):
        found["C"]
    with pytest.raises(ObjectNotFound, match="There is no flow 'X'"):
        found["X"]


def test_notebooks_show_tables(past: Any) -> None:
    past.run("1", "failed", tags=["<b>"])
    past.run("2")
    assert "<td>2</td><td>succeeded</td>" in flows()._repr_html_()
    html = Flow("F")._repr_html_()
    assert html.index("<td>2</td>") < html.index("<td>1</td><td>failed</td>")
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
