"""The model: counts per step."""

from __future__ import annotations

from typing import Any

import pytest

from flow_core.api import AttemptState, RunState
from flow_terminal.progress import DONE, FAILED, RUNNING, WAITING, Progress

T0 = 1_000_000_000.0


class Model:
    """Takes events like a view, and draws nothing."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.handle = self.progress.update


@pytest.fixture
def feed(make_feed: Any) -> Any:
    """A feed into a model."""
    feed = make_feed(Model())
    feed.start()
    return feed


def test_life_of_a_step(feed: Any) -> None:
    step = feed.view.progress.steps["work"]
    assert step.state == WAITING
    assert step.seconds(T0) is None
    feed.queue("work", 2)
    feed.at += 1
    feed.launch("work", 2)
    assert (step.state, step.running, step.done, step.total) == (RUNNING, 1, 0, 2)
    assert step.seconds(T0 + 3) == 2
    feed.at += 4
    feed.finish("work", 2)
    feed.launch("work", 3)
    feed.at += 1
    feed.finish("work", 3, cpu_seconds=2.0, peak_memory=90)
    assert (step.state, step.running, step.done) == (DONE, 0, 2)
    assert step.seconds(T0 + 100) == 5
    assert (step.cpu_seconds, step.peak_memory) == (2.5, 45_000_000)


def test_retried_attempts_count_once_as_tasks(feed: Any) -> None:
    step = feed.view.progress.steps["work"]
    feed.queue("work")
    feed.launch("work", 2)
    feed.fail("work", 2, retry_in=5.0)
    assert (step.done, step.retried, step.failed, step.state) == (0, 1, 0, RUNNING)
    feed.launch("work", 2, 1)
    feed.finish("work", 2, 1, AttemptState.CAUGHT)
    assert (step.done, step.retried, step.caught, step.state) == (1, 1, 1, DONE)
    assert feed.view.progress.failures == []


def test_reused_and_unlaunchable_tasks_never_started(feed: Any) -> None:
    step = feed.view.progress.steps["work"]
    feed.queue("work", 2)
    feed.finish("work", 2, state=AttemptState.REUSED, origin="MoviesFlow/11/work/2/0")
    feed.fail("work", 3)
    assert (step.running, step.done, step.reused, step.failed) == (0, 2, 1, 1)
    assert step.state == FAILED
    ((spec, failure),) = feed.view.progress.failures
    assert (spec.task, failure.type) == (3, "KeyError")


def test_an_attempt_that_only_handles_a_failure_is_no_retry(feed: Any) -> None:
    step = feed.view.progress.steps["work"]
    feed.queue("work", 1)
    feed.launch("work", 3)
    feed.fail("work", 3, retry_in=0.0)
    feed.launch("work", 3, 1)
    feed.fail("work", 3, 1, retry_in=0.0, fallback=True)
    feed.launch("work", 3, 2, fallback=True)
    feed.finish("work", 3, 2, AttemptState.CAUGHT)
    assert (step.retried, step.caught, step.failed, step.done) == (1, 1, 0, 1)


def test_memory_does_not_grow_with_finished_tasks(feed: Any) -> None:
    progress = feed.view.progress
    feed.queue("work", 1000)
    for task in range(1000):
        feed.launch("work", task)
        feed.finish("work", task)
    assert not progress.running
    assert not progress.failures
    assert progress.steps["work"].done == 1000


def test_steps_that_were_not_announced_and_the_result(feed: Any) -> None:
    feed.queue("surprise")
    assert list(feed.view.progress.steps) == ["start", "work", "end", "surprise"]
    feed.at += 3
    feed.end(RunState.FAILED, "because")
    assert feed.view.progress.result.message == "because"
    assert feed.view.progress.seconds == 3
