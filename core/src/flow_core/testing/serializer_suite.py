"""What every serializer must do. Subclass `SerializerSuite`; say ``serializer`` and ``values``."""

from __future__ import annotations

import copy
import mmap
import tempfile
from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from flow_core.interfaces import Buffer, Serializer
from flow_core.testing.code_watch import code_made

FOREIGN_VALUES: Sequence[Any] = (
    None,
    True,
    0,
    1.5,
    "text",
    b"bytes",
    [1, 2],
    {"a": 1},
    {1, 2},
    object(),
    int,
)


@pytest.mark.usefixtures("no_leaks")
class SerializerSuite:
    """Inherit it as ``class TestMine(SerializerSuite)`` and override `serializer` and `values`.

    Attributes:
        serializer: the serializer.
        values: values that it stores: small, empty and big ones, every kind of element.
        foreign: values that it must leave to others; by default those of built-in types, less the
            types of ``values``.
    """

    serializer: Serializer
    values: Sequence[Any] = ()
    foreign: Sequence[Any] = FOREIGN_VALUES

    def check_equal(self, found: Any, value: Any) -> None:
        """Assert that ``found`` is what ``value`` was. Override it where ``==`` is no answer."""
        assert type(found) is type(value), f"the type changed to {type(found).__name__}"
        # Not compared by the assert: pytest's account of two long values takes minutes in CI.
        same = bool(found == value)
        assert same, f"{value!r:.200} came back as {found!r:.200}"

    def test_suite_has_values(self) -> None:
        assert len(self.values) > 0, "the subclass of SerializerSuite must give values"

    def test_tag_is_a_short_name(self) -> None:
        tag = self.serializer.tag
        assert isinstance(tag, str)
        assert tag, "the tag stands in every stored reference"
        assert len(tag) <= 64
        assert tag.isprintable()
        assert not set(tag) & set(' "/\\'), f"the tag {tag!r} is a word"

    def test_tag_does_not_change(self) -> None:
        assert self.serializer.tag == self.serializer.tag

    def test_safe_is_stated(self) -> None:
        assert self.serializer.safe in (True, False), "say whether loading runs code of the data"

    def test_safe_runs_no_code(self) -> None:
        if not self.serializer.safe:
            pytest.skip("loading may run code of the data, and the serializer says so")
        for value in self.values:
            parts = self._parts(value)
            self.serializer.load(parts)  # what is imported for it makes code, too
            with code_made() as made:
                self.serializer.load(parts)
            assert not made, f"it is called safe, but loading {value!r:.100} uses {made[0]}"

    def test_can_store_its_values(self) -> None:
        for value in self.values:
            assert self.serializer.can(value) is True, f"can() refuses {value!r:.100}"

    def test_leaves_foreign_values_to_others(self) -> None:
        own = tuple({type(value) for value in self.values})
        for value in self.foreign:
            if type(value) not in own:
                assert self.serializer.can(value) is False, f"can() takes {value!r:.100}"

    def test_round_trip(self) -> None:
        for value in self.values:
            self.check_equal(self.serializer.load(self._parts(value)), value)

    def test_parts_are_buffers(self) -> None:
        for value in self.values:
            for part in self.serializer.dump(value):
                assert isinstance(part, (bytes, bytearray, memoryview)), type(part).__name__
                assert memoryview(part).c_contiguous, "a part is one stretch of memory"

    def test_dump_does_not_change_the_value(self) -> None:
        for value in self.values:
            try:
                before = copy.deepcopy(value)
            except Exception:
                continue
            self._parts(value)
            self.check_equal(value, before)

    def test_two_dumps_are_the_same(self) -> None:
        for value in self.values:
            first = self._parts(value)
            assert self._parts(value) == first, f"two dumps differ: {value!r:.100}"

    def test_load_from_memoryviews(self) -> None:
        for value in self.values:
            parts = [memoryview(bytearray(part)) for part in self._parts(value)]
            self.check_equal(self.serializer.load(parts), value)

    def test_load_from_read_only_views(self) -> None:
        for value in self.values:
            parts = [memoryview(part) for part in self._parts(value)]
            self.check_equal(self.serializer.load(parts), value)

    def test_load_from_a_stretch_of_a_bigger_buffer(self) -> None:
        for value in self.values:
            parts = [memoryview(b"##" + part + b"##")[2:-2] for part in self._parts(value)]
            self.check_equal(self.serializer.load(parts), value)

    def test_load_from_mapped_memory(self) -> None:
        for value in self.values:
            parts = self._parts(value)
            with tempfile.TemporaryFile() as file:
                # A mapping is never empty; the parts lie behind one another, as in a blob.
                file.write(b"#" + b"".join(parts))
                file.flush()
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            mapped: list[Buffer] = []
            place = 1
            for part in parts:
                mapped.append(view[place : place + len(part)])
                place += len(part)
            self.check_equal(self.serializer.load(mapped), value)

    def test_loading_twice_gives_independent_values(self) -> None:
        for value in self.values:
            parts = self._parts(value)
            first, second = self.serializer.load(parts), self.serializer.load(parts)
            self.check_equal(first, value)
            self.check_equal(second, value)
            if not isinstance(value, Hashable):  # what can be changed
                assert first is not second, "who changes one changes the other"
                assert first is not value, "it gives back what it was given"

    def _parts(self, value: Any) -> list[bytes]:
        return [memoryview(part).tobytes() for part in self.serializer.dump(value)]
