from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import flow_cards
from flow_cards import (
    Artifact,
    Component,
    Error,
    Facts,
    Image,
    Log,
    Markdown,
    ProgressBar,
    PythonCode,
    Section,
    Table,
    ValueBox,
)
from flow_cards.codec import decode, encode
from flow_cards.components import BUILT_IN, as_component, kind_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@dataclass(frozen=True)
class Score(Component):
    name: str = ""
    value: float = 0.0

    def parts(self):
        return [Markdown(f"**{self.name}**"), ProgressBar(max=1, value=self.value)]


class Shout(Markdown):
    pass


class TestData:
    @pytest.mark.parametrize(
        "component",
        [Markdown("a"), Table([[1]]), ProgressBar(), Image(PNG), Artifact(3), Section("a", [])],
    )
    def test_they_cannot_be_changed(self, component):
        name = next(iter(component.__dataclass_fields__))
        with pytest.raises(FrozenInstanceError):
            setattr(component, name, "other")

    def test_equal_data_is_equal(self):
        assert Table([[1, "a"]], ["x", "y"]) == Table(((1, "a"),), ("x", "y"))
        assert Artifact([1]) == Artifact([1])
        assert Markdown("a") != Markdown("b")

    def test_changed_returns_another_one(self):
        bar = ProgressBar(max=10, label="rows")
        assert bar.changed({"value": 3}) == ProgressBar(max=10, label="rows", value=3)
        assert bar.value == 0

    def test_a_field_that_there_is_not(self):
        with pytest.raises(TypeError, match="ProgressBar has no field 'vlaue': it has label, max"):
            ProgressBar().changed({"vlaue": 3})

    def test_kinds(self):
        assert kind_of(Markdown("")) == "Markdown"
        assert kind_of(Shout("")) == "Markdown"
        assert kind_of(Score()) is None

    def test_what_stands_inside(self):
        text, bar, score = Markdown("a"), ProgressBar(), Score()
        assert [*Table([[1, text], [bar]]).inside()] == [text, bar]
        assert [*Section("S", [text, score]).inside()] == [text, score]
        assert [*Facts({"a": text}).inside()] == [text]
        assert [*text.inside()] == []

    def test_one_without_parts_says_so(self):
        class Nothing(Component):
            pass

        said = (
            "Nothing does not say what it is made of. "
            "Write in its class: def parts(self): return [Markdown(...)]"
        )
        with pytest.raises(NotImplementedError) as caught:
            Nothing().parts()
        assert str(caught.value) == said
        shown = decode(encode(Nothing()))
        assert shown.title == "The component Nothing cannot be shown"
        assert shown.text == f"NotImplementedError: {said}"

    def test_an_error_of_ones_own_starts_at_ones_own_line(self):
        class Broken(Component):
            def parts(self):
                raise ValueError("no")

        text = decode(encode(Broken())).text
        assert text.startswith("Traceback")
        assert text.endswith("ValueError: no")
        assert text.count("File ") == 1
        assert "test_components.py" in text

    def test_one_that_is_no_dataclass(self):
        class Badge(Component):
            live = ("text",)

            def __init__(self, text):
                self.text = text

            def parts(self):
                return [Markdown(self.text)]

        badge = Badge("a")
        assert badge.changed({"text": "b"}).text == "b"
        assert badge.text == "a"
        assert decode(encode(badge)).children == (Markdown("a"),)
        assert [*Badge(Markdown("x")).inside()] == [Markdown("x")]
        with pytest.raises(TypeError, match="Badge has no field 'words': it has text"):
            badge.changed({"words": "b"})

    def test_all_are_under_one_name_too(self):
        assert set(BUILT_IN) < set(flow_cards.__all__)
        assert {"get_cards", "CardTask", "Component"} < set(flow_cards.__all__)

    def test_update_needs_a_task(self):
        with pytest.raises(RuntimeError, match="in a task with @card only"):
            ProgressBar().update(3)


def test_markdown_is_dedented():
    assert (
        Markdown("""
        # A
          b
    """).text.strip()
        == "# A\n  b"
    )


class TestTable:
    def test_rows_and_headers_of_other_lengths_are_filled(self):
        assert Table([[1, 2], [3], 4], ["a"]).data == ((1, 2), (3, ""), (4, ""))
        assert Table([[1, 2], [3]], ["a"]).headers == ("a", "")
        assert Table([[1]], ["a", "b"]).data == ((1, ""),)
        assert Table([[1, 2]]).headers == ()
        assert Table().data == ()

    @pytest.mark.parametrize(("value", "name"), [(5, "int"), ("abc", "str"), (b"a", "bytes")])
    def test_what_is_no_list(self, value, name):
        said = f"Table takes rows: lists of cells, or a DataFrame, not {name}"
        with pytest.raises(TypeError, match=said):
            Table(value)
        with pytest.raises(TypeError, match=f"Table takes headers: a list of titles, not {name}"):
            Table([[1]], value)

    def test_cells(self):
        inner = Markdown("x")
        row = [
            1,
            2.5,
            True,
            None,
            "text",
            inner,
            Decimal("1.5"),
            [1, 2],
            np.float64(0.5),
            np.int8(3),
        ]
        (found,) = Table([row]).data
        assert found == (1, 2.5, True, None, "text", inner, "1.5", "[1, 2]", 0.5, 3)
        assert all(type(cell).__module__ != "numpy" for cell in found)

    def test_dates_and_the_like_are_text(self):
        when = datetime.fromisoformat("2026-01-02 03:04:00")
        row = [when, when.date(), pd.Timestamp(when), np.datetime64("2026-01-02"), Path("a/b")]
        (found,) = Table([row]).data
        moment = "2026-01-02 03:04:00"
        assert found == (moment, "2026-01-02", moment, "2026-01-02", "a/b")
        assert Table([[pd.NaT, pd.NA, timedelta(hours=1)]]).data == ((None, None, "1:00:00"),)

    def test_rows_of_any_kind(self):
        assert Table(np.eye(2)).data == ((1.0, 0.0), (0.0, 1.0))
        assert Table((str(n),) for n in range(2)).data == (("0",), ("1",))
        assert Table(["a", "b"]).data == (("a",), ("b",))
        assert Table(None).data == ()
        assert Table([[1]], pd.Index(["a"])).headers == ("a",)

    def test_long_cells_are_cut(self):
        assert len(Table([["x" * 100_000]]).data[0][0]) == 2000

    def test_a_dataframe(self):
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], 3: [0.5, float("nan")]})
        table = Table.from_dataframe(frame)
        assert table.headers == ("a", "b", "3")
        assert table.data[0] == (1, "x", 0.5)
        assert Table(frame).headers == table.headers
        assert table.note == ""

    def test_an_index_of_its_own_is_a_column(self):
        frame = pd.DataFrame({"n": [1, 2]}, index=["x", "y"])
        assert Table(frame) == Table([["x", 1], ["y", 2]], ["", "n"])

    def test_a_large_one_is_cut_and_says_so(self):
        frame = pd.DataFrame(np.zeros((10_001, 60)))
        table = Table.from_dataframe(frame)
        assert (len(table.data), len(table.data[0])) == (10_000, 50)
        assert table.note == "10,000 of 10,001 rows, 50 of 60 columns"
        assert len(Table.from_dataframe(frame[[0]], truncate=False).data) == 10_001

    def test_a_frame_like_that_of_polars(self):
        class Frame:
            columns = ["a", "b"]
            shape = (2, 2)

            def head(self, count):
                return self

            def iter_rows(self):
                return iter([(1, "x"), (2, "y")])

        assert Table(Frame()) == Table([[1, "x"], [2, "y"]], ["a", "b"])


class TestImage:
    @pytest.mark.parametrize(
        ("content", "media"),
        [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"BM123", "image/bmp"),
            (b"RIFF1234WEBPVP8 ", "image/webp"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
            (b"<?xml version='1.0'?>\n<svg/>", "image/svg+xml"),
            (b"<html><svg/></html>", ""),
            (b"%PDF-1.4", ""),
            (b"", ""),
        ],
    )
    def test_the_type_is_found_from_the_bytes(self, content, media):
        assert Image(content).media == media

    def test_a_file(self, tmp_path):
        (tmp_path / "a.png").write_bytes(PNG)
        assert Image(tmp_path / "a.png", "label") == Image(PNG, "label")
        assert Image(str(tmp_path / "a.png")).src == PNG

    def test_figures_and_pictures_of_others(self):
        class Figure:
            def savefig(self, file, **options):
                assert options["format"] == "png"
                file.write(PNG)

        class Axes:
            def get_figure(self):
                return Figure()

        class Picture:
            def save(self, file, format):
                file.write(PNG)

        assert Image.from_matplotlib(Figure(), "f") == Image(PNG, "f")
        assert Image.from_matplotlib(Axes()) == Image(PNG)
        assert Image.from_pil_image(Picture()) == Image(PNG)
        assert as_component(Figure()) == Image(PNG)


class TestValues:
    def test_artifact(self):
        found = Artifact({"a": 1}, "config")
        assert (found.text, found.type, found.name) == ("{'a': 1}", "dict", "config")
        assert len(Artifact("x" * 9000).text) == 1000
        assert len(Artifact("x" * 9000, compressed=False).text) == 9002

    def test_progress(self):
        assert ProgressBar(max=4, value=1).share == 0.25
        assert ProgressBar(max=4, value=9).share == 1
        assert ProgressBar(value=np.float64(3)).value == 3
        with pytest.raises(ValueError, match="max must be above 0"):
            ProgressBar(max=0)
        with pytest.raises(ValueError, match="value must be a finite number"):
            ProgressBar(value=float("nan"))

    @pytest.mark.parametrize(
        ("values", "what"),
        [
            ({"title": "x" * 201}, "title has more than 200 characters"),
            ({"value": "x" * 101}, "value has more than 100 characters"),
            ({"subtitle": "x" * 301}, "subtitle has more than 300"),
            ({"change_indicator": "x" * 201}, "change_indicator has more than 200"),
            ({"theme": "pink"}, "theme cannot be 'pink': default, success"),
        ],
    )
    def test_a_value_box_that_is_too_much(self, values, what):
        with pytest.raises(ValueError, match=what):
            ValueBox(**values)

    def test_python_code(self):
        assert PythonCode(TestValues.test_python_code).code.startswith(
            "def test_python_code(self):"
        )
        assert PythonCode(code_string="  x = 1").code == "x = 1"
        assert PythonCode(len).code.startswith("# the source cannot be read")
        assert PythonCode().code == ""

    def test_error(self):
        try:
            raise ValueError("no good")
        except ValueError as error:
            found = Error(error)
        assert found.title == "ValueError: no good"
        assert found.text.startswith("Traceback (most recent call last)")
        assert Error("Traceback\nKeyError: 'a'").title == "KeyError: 'a'"
        assert Error("text", "Title").title == "Title"

    def test_facts(self):
        assert Facts({"a": 1}) == Facts([("a", 1)])


class TestAsComponent:
    def test_what_shows_a_value(self):
        log = Log("a")
        assert as_component(log) is log
        assert as_component("# a") == Markdown("# a")
        assert as_component(pd.DataFrame({"a": [1]})) == Table([[1]], ["a"])
        assert as_component([1, 2]) == Artifact([1, 2])

    def test_what_cannot_be_shown_says_so(self):
        class Figure:
            def savefig(self, *args, **options):
                raise OSError("no fonts")

        found = as_component(Figure())
        assert isinstance(found, Error)
        assert found.title == "A Figure cannot be shown"
        assert "no fonts" in found.text
