"""The suite for serializers finds each promise that a serializer breaks."""

from __future__ import annotations

import datetime
import io
import json
import pickle
import time
from collections.abc import Sequence
from typing import Any

import pytest

from flow_core.interfaces import Buffer
from flow_core.testing import SerializerSuite, failures

VALUES: Sequence[Any] = ([], {}, [3, 1, "a", None], {"a": [1.5] * 1000})


class Json:
    """Keeps all promises."""

    tag = "json"
    safe = True

    def can(self, value: Any) -> bool:
        return type(value) in (dict, list)

    def dump(self, value: Any) -> Sequence[Buffer]:
        return [b"1", json.dumps(value).encode()]

    def load(self, parts: Sequence[Buffer]) -> Any:
        return json.loads(bytes(parts[1]))


class TestJson(SerializerSuite):
    serializer = Json()
    values = VALUES


class LongTag(Json):
    tag = "a tag with spaces"


class ChangingTag(Json):
    @property
    def tag(self) -> str:  # type: ignore[override]
        return f"json-{time.perf_counter_ns()}"


class SaysNotWhetherSafe(Json):
    safe = None  # type: ignore[assignment]


class TakesAll(Json):
    def can(self, value: Any) -> bool:
        return True


class TakesNothing(Json):
    def can(self, value: Any) -> bool:
        return False


class OtherType(Json):
    """Gives another type back."""

    def load(self, parts: Sequence[Buffer]) -> Any:
        found = super().load(parts)
        return tuple(found) if isinstance(found, list) else found


class Rounds(Json):
    """Loses what is behind the point."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        return [b"1", json.dumps(value).replace("1.5", "1").encode()]


class Text(Json):
    """Gives a text where bytes are wanted."""

    def dump(self, value: Any) -> Sequence[Any]:
        return ["1", json.dumps(value)]

    def load(self, parts: Sequence[Any]) -> Any:
        return json.loads(parts[1])


class Sorts(Json):
    """Changes the value that it is given."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        if isinstance(value, list):
            value.sort(key=str)
        return super().dump(value)


class WritesTime(Json):
    """Never writes the same twice."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        return [str(time.perf_counter_ns()).encode(), json.dumps(value).encode()]


class WantsBytes(Json):
    """Uses a method of bytes that a view has not."""

    def load(self, parts: Sequence[Any]) -> Any:
        return json.loads(parts[1].decode())


class WritesIntoParts(Json):
    """Uses the parts that it reads as its own memory."""

    def load(self, parts: Sequence[Any]) -> Any:
        found = json.loads(bytes(parts[1]))
        memoryview(parts[0])[0] = 0
        return found


class ReadsAround(Json):
    """Reads the whole buffer that a part is a stretch of."""

    def load(self, parts: Sequence[Any]) -> Any:
        part = parts[1]
        return json.loads(bytes(part.obj if isinstance(part, memoryview) else part))


class Remembers(Json):
    """Gives the same object for the same bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}

    def load(self, parts: Sequence[Buffer]) -> Any:
        return self._known.setdefault(bytes(parts[1]), super().load(parts))


class LeavesVariable(Json):
    def load(self, parts: Sequence[Buffer]) -> Any:
        import os

        os.environ["FLOW_TEST_LOADED"] = "yes"
        return super().load(parts)


class Unpickles(Json):
    """Is called safe, and lets the data say what is run."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        return [b"1", pickle.dumps(value)]

    def load(self, parts: Sequence[Buffer]) -> Any:
        return pickle.loads(bytes(parts[1]))


class UnpicklesClasses(Unpickles):
    """The same, by a class that nobody stands before."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        return [b"1", pickle.dumps((datetime.timedelta(1), value))]

    def load(self, parts: Sequence[Buffer]) -> Any:
        return pickle.Unpickler(io.BytesIO(bytes(parts[1]))).load()[1]


class Evaluates(Json):
    def dump(self, value: Any) -> Sequence[Buffer]:
        return [b"1", repr(value).encode()]

    def load(self, parts: Sequence[Buffer]) -> Any:
        return eval(bytes(parts[1]))


BROKEN: list[tuple[type[Json], str]] = [
    (LongTag, "test_tag_is_a_short_name"),
    (ChangingTag, "test_tag_does_not_change"),
    (SaysNotWhetherSafe, "test_safe_is_stated"),
    (Unpickles, "test_safe_runs_no_code"),
    (UnpicklesClasses, "test_safe_runs_no_code"),
    (Evaluates, "test_safe_runs_no_code"),
    (TakesAll, "test_leaves_foreign_values_to_others"),
    (TakesNothing, "test_can_store_its_values"),
    (OtherType, "test_round_trip"),
    (Rounds, "test_round_trip"),
    (Text, "test_parts_are_buffers"),
    (Sorts, "test_dump_does_not_change_the_value"),
    (WritesTime, "test_two_dumps_are_the_same"),
    (WantsBytes, "test_load_from_memoryviews"),
    (WritesIntoParts, "test_load_from_read_only_views"),
    (ReadsAround, "test_load_from_a_stretch_of_a_bigger_buffer"),
    (ReadsAround, "test_load_from_mapped_memory"),
    (Remembers, "test_loading_twice_gives_independent_values"),
    (LeavesVariable, "test_round_trip"),
]


def suite(made: Any, given: Sequence[Any] = VALUES) -> type[SerializerSuite]:
    class TestIt(SerializerSuite):
        serializer = made
        values = given

    return TestIt


@pytest.mark.parametrize(("serializer", "case"), BROKEN)
def test_it_finds(serializer: type[Json], case: str) -> None:
    assert [*failures(suite(serializer()), case)] == [case]


def test_a_suite_without_values_proves_nothing() -> None:
    assert "must give values" in failures(suite(Json(), ()))["test_suite_has_values"]


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(SerializerSuite) if name.startswith("test_")}
    assert cases - {"test_suite_has_values"} == {case for _, case in BROKEN}
