"""gc on random runs, cut short at any point: what stays is whole, and in the end nothing else is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

import flow_client
from flow_core.api import files_prefix, installed, run_prefix
from flow_gc.plan import make_plan
from flow_gc.policy import Policy
from flow_gc.sweep import carry_out


class Killed(Exception):
    """The process is gone."""


class Mortal:
    """Stands before a store or an index; dies before its n-th change, n counted over all of them."""

    def __init__(self, real: Any, count: Callable[[], None]) -> None:
        self._real = real
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def delete(self, keys: Iterable[str], **options: Any) -> None:
        for key in keys:
            self._count()
            self._real.delete([key], **options)

    def write(self, items: Iterable[tuple[str, Any]], **options: Any) -> list[bool]:
        written = []
        for item in items:
            self._count()
            written += self._real.write([item], **options)
        return written

    def remove_run(self, flow: str, run: str) -> bool:
        self._count()
        known: bool = self._real.remove_run(flow, run)
        return known


def dying(past: Any, changes: int | None) -> tuple[Any, Any]:
    """Return store and index that die after so many changes; None = never."""
    left = changes

    def count() -> None:
        nonlocal left
        if left is not None:
            if left == 0:
                raise Killed
            left -= 1

    return Mortal(past.store, count), Mortal(past.metadata, count)


class Made(NamedTuple):
    """A run as it is made: what its tasks hold, and which of them it took over from another."""

    flow: str
    number: str
    texts: tuple[str, ...]
    reused: tuple[tuple[str, str], ...]  # the task from which, and its text
    tagged: bool


def text(number: int) -> str:
    """Return one of the values that runs share, too long to travel in a manifest."""
    return f"{number}" * 6000


@st.composite
def histories(draw: Any) -> list[Made]:
    runs: list[Made] = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        flow = draw(st.sampled_from("FG"))
        own = tuple(text(n) for n in draw(st.lists(st.integers(1, 5), max_size=3)))
        tasks = [
            (f"{r.flow}/{r.number}/work/{n}/0", held)
            for r in runs
            for n, held in enumerate((*r.texts, *(t for _, t in r.reused)), 1)
            if r.flow == flow
        ]
        reused = tuple(draw(st.lists(st.sampled_from(tasks), max_size=2))) if tasks else ()
        runs.append(Made(flow, str(number), own, reused, draw(st.booleans())))
    return runs


policies = st.builds(
    Policy,
    keep_last=st.none() | st.integers(0, 3),
    keep_tagged=st.booleans(),
    older_than=st.none() | st.just(1e6),
    flows=st.sampled_from([(), ("F",)]),
    margin=st.just(0.0),
)


def make(past: Any, history: list[Made]) -> None:
    for run in history:
        tags = ("t",) if run.tagged else ()
        past.run(run.number, *run.texts, flow=run.flow, tags=tags)
        for task, (origin, held) in enumerate(run.reused, len(run.texts) + 1):
            past.attempt(run.number, task, held, flow=run.flow, origin=origin)
        past.store.write([(files_prefix(run.flow, run.number) + "a/b", run.number.encode())])


def expected(history: list[Made], policy: Policy) -> list[Made]:
    """Return the runs that stay: the policy in other words."""
    stay = []
    for flow in "FG":
        newest_first = [run for run in reversed(history) if run.flow == flow]
        for rank, run in enumerate(newest_first):
            old = policy.older_than is not None  # all of them are
            among_last = policy.keep_last is not None and rank < policy.keep_last
            if (
                (policy.keep_last is None and not old)
                or among_last
                or (policy.keep_tagged and run.tagged)
                or (policy.flows and flow not in policy.flows)
            ):
                stay.append(run)
    return stay


def written(history: list[Made], run: Made, task: int) -> str:
    """Return what the task wrote, or that from which it was taken over."""
    while task > len(run.texts):
        origin = run.reused[task - len(run.texts) - 1][0].split("/")
        run = next(r for r in history if [r.flow, r.number] == origin[:2])
        task = int(origin[3])
    return f"{run.number}/{task}"


def check_whole(past: Any, history: list[Made]) -> list[tuple[str, str]]:
    """Check that every run that can be found is whole; return them."""
    found = []
    flow_client.namespace(None)
    with flow_client.using(past.session):
        for flow in flow_client.flows():
            for run in flow:
                made = next(r for r in history if (r.flow, r.number) == (flow.id, run.id))
                held = [*made.texts, *(t for _, t in made.reused)]
                for number, value in enumerate(held, 1):
                    task = run["work"][number]
                    assert task.data.x == value
                    assert task.stdout == written(history, made, number)
                assert [*past.store.read([files_prefix(flow.id, run.id) + "a/b"])] == [
                    run.id.encode()
                ]
                found.append((flow.id, run.id))
    return found


def check_nothing_else(past: Any, stay: list[Made]) -> None:
    places = [(run.flow, run.number) for run in stay]
    prefixes = tuple(kind(*place) for place in places for kind in (run_prefix, files_prefix))
    held = {t for run in stay for t in (*run.texts, *(t for _, t in run.reused))}
    rest = [o.key for o in past.store.list() if not o.key.startswith((*prefixes, "blobs/"))]
    assert all(key.startswith("numbers/") for key in rest), rest
    assert past.blobs() == len(held)


@settings(max_examples=40, deadline=None)
@given(histories(), policies, st.none() | st.integers(0, 60))
def test_random_runs_and_policies(
    new_past: Any, history: list[Made], policy: Policy, changes: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        past = new_past(Path(folder))
        make(past, history)
        stay = expected(history, policy)
        store, metadata = dying(past, changes)
        try:
            carry_out(store, metadata, make_plan(store, metadata, policy))
        except Killed:
            found = check_whole(past, history)
            assert {(r.flow, r.number) for r in stay} <= {*found}
            # The second one need not want the same: what was begun is completed all the same.
            carry_out(
                past.store, past.metadata, make_plan(past.store, past.metadata, Policy(margin=0.0))
            )
            check_whole(past, history)
            carry_out(past.store, past.metadata, make_plan(past.store, past.metadata, policy))
        assert sorted(check_whole(past, history)) == sorted((r.flow, r.number) for r in stay)
        check_nothing_else(past, stay)
        assert make_plan(past.store, past.metadata, policy).empty
        past.metadata.rebuild(past.store)
        assert past.metadata.problems == []
        assert sorted(check_whole(past, history)) == sorted((r.flow, r.number) for r in stay)


def test_a_real_process_is_killed(new_past: Any, tmp_path: Path) -> None:
    place = f"local://{tmp_path / 'store'}"
    past = new_past(
        tmp_path, installed().open("flow.stores", place), installed().open("flow.metadata", place)
    )
    history = [Made("F", str(n), (text(n), text(n % 3)), (), False) for n in range(1, 61)]
    make(past, history)
    environment = {**os.environ, "FLOW_DATASTORE": place, "FLOW_METADATA": place}
    command = [sys.executable, "-m", "flow_core", "gc", "--margin", "0", "--yes", "--keep-last"]
    chance = random.Random(7)
    left = len(history)
    killed = 0
    for keep in range(50, 0, -7):
        process = subprocess.Popen([*command, str(keep)], env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # what goes is shown; now it goes
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        found = check_whole(past, history)
        assert keep <= len(found) <= left
        left = len(found)
    assert killed
    subprocess.run([*command, "1"], env=environment, check=True, stdout=subprocess.PIPE)
    assert check_whole(past, history) == [("F", "60")]
    check_nothing_else(past, history[-1:])
    past.metadata.close()
