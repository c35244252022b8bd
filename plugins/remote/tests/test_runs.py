"""A run that has no job in the cluster is no error; one that is not there at all is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from flow_core.api import NotFound, RunRequest, Session
from flow_core.testing import FlowTester
from flow_remote.runs import check_run

FLOW = """
    from flow_core import FlowSpec, step

    class Train(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.fixture
def session(flowtester: FlowTester) -> Iterator[Session]:
    """A session whose store and index have the run Train/1."""
    with flowtester.session(flowtester.load(FLOW)) as made:
        made.execute(RunRequest())
        yield made


def never() -> Collection[str]:
    pytest.fail("the cluster need not be asked")


def refused(session: Session, pathspec: str, *in_cluster: str) -> NotFound:
    with pytest.raises(NotFound) as caught:
        check_run(session, pathspec, lambda: in_cluster, "namespace team")
    return caught.value


@pytest.mark.parametrize("pathspec", ["Train", "Train/1", "Train/1/start", "Train/1/end/2"])
def test_what_index_and_store_know(session: Session, pathspec: str) -> None:
    check_run(session, pathspec, never, "namespace team")


@pytest.mark.parametrize("pathspec", ["Train/1", "Train/1/start"])
def test_what_only_the_store_knows(session: Session, pathspec: str) -> None:
    session.metadata.remove_run("Train", "1")
    check_run(session, pathspec, never, "namespace team")


@pytest.mark.parametrize("pathspec", ["Other", "Other/7", "Other/7/any"])
def test_what_only_the_cluster_knows(session: Session, pathspec: str) -> None:
    check_run(session, pathspec, lambda: {"Other/7"}, "namespace team")


def test_a_run_that_nobody_knows(session: Session) -> None:
    error = refused(session, "Train/2")
    assert str(error) == (
        "There is no run Train/2\n"
        f"  where: {session.metadata.url}, namespace team\n"
        "  why:   the index does not know it, and the cluster has no job of it\n"
        "  try:   latest runs: 1"
    )
    assert refused(session, "Train/2", "Train/12", "Other/7").hint == "did you mean 'Train/12'?"


def test_a_flow_that_nobody_knows(session: Session) -> None:
    error = refused(session, "Tarin", "Other/7")
    assert error.what == "There is no run of a flow 'Tarin'"
    assert error.where == f"{session.metadata.url}, namespace team"
    assert error.hint == "did you mean 'Train'?"
    assert refused(session, "Othre", "Other/7").hint == "did you mean 'Other'?"


def test_a_step_that_the_run_has_not(session: Session) -> None:
    error = refused(session, "Train/1/strat")
    assert (error.what, error.where) == ("Run Train/1 has no step 'strat'", session.store.url)
    assert error.hint == "did you mean 'start'?"
