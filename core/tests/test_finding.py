"""Finding runs: filters, times as people write them, states as people see them."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.api import (
    RunQuery,
    RunRecord,
    RunState,
    UsageError,
    find_runs,
    seconds_of,
    seems_lost,
    seen_state,
    texts_of_word,
    time_of,
    value_texts,
)
from flow_core.testing import MemoryMetadata


def ids(metadata: MemoryMetadata, **query: object) -> list[str]:
    return [run.run for run in find_runs(metadata, "F", RunQuery(**query), page=2)]  # type: ignore[arg-type]


class TestFindRuns:
    def test_all_filters_at_once_over_many_pages(self) -> None:
        metadata = MemoryMetadata()
        for number in range(20):
            metadata.register_run(
                RunRecord(
                    "F",
                    str(number),
                    RunState.SUCCEEDED if number % 2 else RunState.FAILED,
                    float(number),
                    user="ada" if number % 3 else "bob",
                    tags=("t",) if number > 4 else (),
                    parameters=(("alpha", str(number % 4)),),
                )
            )
        assert len(ids(metadata)) == 20
        found = ids(
            metadata,
            tags=("t",),
            states=("succeeded",),
            since=6.0,
            until=18.0,
            user="ada",
            parameters={"alpha": ("1",)},
        )
        assert found == ["17", "13"]

    def test_lost_runs_are_no_running_ones(self) -> None:
        metadata = MemoryMetadata()
        for run, beat in (("1", time.time()), ("2", time.time() - 90)):
            record = RunRecord("F", run, RunState.RUNNING, 1.0, heartbeat_at=beat)
            metadata.register_run(record)
        assert ids(metadata, states=("lost",)) == ["2"]
        assert ids(metadata, states=("running",)) == ["1"]

    def test_an_unknown_state_is_refused(self) -> None:
        with pytest.raises(UsageError, match="There is no state 'faild' of a run") as caught:
            ids(MemoryMetadata(), states=("faild",))
        assert caught.value.hint == "did you mean 'failed'?"


class TestLife:
    RUN = RunRecord("F", "1", RunState.RUNNING, 1.0, host=os.uname().nodename)

    def test_a_process_that_is_gone_is_lost_at_once(self) -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert seems_lost(self.RUN._replace(pid=child, heartbeat_at=time.time()))

    def test_a_process_that_lives_is_not(self) -> None:
        alive = self.RUN._replace(pid=os.getpid(), heartbeat_at=time.time())
        assert seen_state(alive) == "running"
        assert seen_state(alive._replace(host="elsewhere", pid=1)) == "running"

    def test_silence(self) -> None:
        assert seen_state(self.RUN._replace(pid=os.getpid(), heartbeat_at=1.0)) == "lost"

    def test_what_has_ended_is_never_lost(self) -> None:
        assert seen_state(self.RUN._replace(state=RunState.FAILED)) == "failed"


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800), ("2W", 1209600), ("0s", 0)],
    )
    def test_durations(self, text: str, seconds: float) -> None:
        assert seconds_of(text) == seconds
        assert time.time() - time_of(text) == pytest.approx(seconds, abs=5)

    @pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "nand", "infd", "7y"])
    def test_what_is_no_duration(self, text: str) -> None:
        with pytest.raises(UsageError, match="is no duration") as caught:
            seconds_of(text)
        assert caught.value.hint == "30m, 12h, 7d, 2w"

    def test_moments(self) -> None:
        local = datetime(2026, 11, 28, 14, 30)  # noqa: DTZ001 - local time is meant
        assert time_of(local) == time_of("2026-11-28 14:30") == local.timestamp()
        assert time_of("2026-11-28") == local.replace(hour=0, minute=0).timestamp()
        utc = datetime(2026, 11, 28, 14, 30, tzinfo=timezone.utc)
        assert time_of(utc) == time_of("2026-11-28T14:30:00Z") == utc.timestamp()
        assert time.time() - time_of(timedelta(hours=2)) == pytest.approx(7200, abs=5)

    def test_what_is_no_time(self) -> None:
        for wrong in ("yesterday", "2026-13-01", 5, None):
            with pytest.raises(UsageError, match="is no time"):
                time_of(wrong)  # type: ignore[arg-type]


class TestValues:
    def test_equal_values_have_equal_texts(self) -> None:
        assert value_texts(3) == value_texts(3.0) == ("3",)
        assert value_texts({"b": 1, "a": [1, 2]}) == value_texts({"a": (1.0, 2), "b": 1})
        assert value_texts("3") == ('"3"',)
        assert value_texts(True) != value_texts(1)

    def test_a_word_may_be_a_number_or_a_text(self) -> None:
        assert texts_of_word("3") == ('"3"', "3")
        assert texts_of_word("3.0") == ('"3.0"', "3")
        assert texts_of_word("True") == ('"True"', "true")
        assert texts_of_word("fast") == ('"fast"',)
        assert texts_of_word('{"a": 1}')[1] == '{"a": 1}'
        assert texts_of_word("NaN") == ('"NaN"',)

    @pytest.mark.parametrize("value", [object(), float("nan"), "x" * 1000])
    def test_what_has_no_text(self, value: object) -> None:
        with pytest.raises(UsageError, match="Runs cannot be found by the value"):
            value_texts(value)

    @given(st.one_of(st.integers(), st.text(max_size=50), st.booleans(), st.none()))
    def test_what_is_typed_as_json_finds_the_value(self, value: object) -> None:
        (text,) = value_texts(value)
        assert text in texts_of_word(text)
