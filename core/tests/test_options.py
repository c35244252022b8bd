"""Decorators are data: options, their grammar and their errors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flow_core.errors import DefinitionError, UsageError
from flow_core.flowspec import step
from flow_core.options import (
    DECORATORS_ATTRIBUTE,
    Attached,
    Options,
    StepDecorator,
    describe_options,
    option,
)


@dataclass(frozen=True)
class SampleOptions(Options):
    """Try something."""

    times: int = option(3, "How often.")
    delay: float = option(0.5)
    word: str = option("")
    maybe: str | None = option(None)
    flag: bool = option(False)
    mode: Literal["fast", "safe"] = option("fast")
    table: dict[str, Any] = option({})  # noqa: RUF009
    names: tuple[str, ...] = option(())
    rows: list[Any] = option([])  # noqa: RUF009

    def validate(self):
        if self.times < 0:
            raise DefinitionError("Option 'times' must not be negative", hint="times=0")


@dataclass(frozen=True)
class NeedyOptions(Options):
    image: str = option(help="The image.")


sample = StepDecorator("sample", SampleOptions)
needy = StepDecorator("needy", NeedyOptions, allow_multiple=True)


def attached(function):
    return getattr(function, DECORATORS_ATTRIBUTE, [])


class TestAttaching:
    def test_bare_called_and_with_options(self):
        @sample
        @step
        def a(self): ...

        @sample()
        @step
        def b(self): ...

        @sample(times=5)
        @step
        def c(self): ...

        assert attached(a) == attached(b) == [Attached("sample", SampleOptions())]
        assert attached(c) == [Attached("sample", SampleOptions(times=5))]

    def test_twice_on_a_step(self):
        with pytest.raises(DefinitionError) as caught:

            @sample
            @sample
            @step
            def a(self): ...

        assert caught.value.what == "Step 'a' has @sample twice"
        assert "test_options.py:" in caught.value.where
        assert caught.value.hint == "keep one of them"

    def test_twice_where_that_is_allowed(self):
        @needy(image="a")
        @needy(image="b")
        @step
        def a(self): ...

        assert [x.options.image for x in attached(a)] == ["b", "a"]

    @pytest.mark.parametrize("make", [sample, sample(times=1)])
    def test_below_step(self, make):
        def a(self): ...

        with pytest.raises(DefinitionError) as caught:
            make(a)
        assert caught.value.what == "@sample must stand above @step, on a step function"
        assert caught.value.hint == "write @sample on the line before @step"
        assert "test_options.py:" in caught.value.where

    def test_positional_options(self):
        with pytest.raises(DefinitionError) as caught:
            sample(3)
        assert caught.value.what == "Decorator @sample takes its options by name only"
        assert caught.value.hint.startswith("@sample(times=3, delay=0.5, word=''")

    def test_unknown_missing_and_ill_typed_options(self):
        with pytest.raises(DefinitionError) as caught:
            sample(tims=3)
        assert caught.value.what == "Decorator @sample has no option 'tims'"
        assert caught.value.hint == "did you mean 'times'?"
        with pytest.raises(DefinitionError) as caught:
            needy()
        assert caught.value.what == "Decorator @needy needs the option 'image'"
        assert caught.value.hint == "@needy(image=…)"
        for bad, text in (("3", "int"), (True, "int"), (1.5, "int"), (None, "int")):
            with pytest.raises(DefinitionError) as caught:
                sample(times=bad)
            assert caught.value.what == f"Option 'times' must be {text}, not {bad!r}"
            assert caught.value.where == "decorator @sample"
        with pytest.raises(DefinitionError, match="must be 'fast' or 'safe', not 'slow'"):
            sample(mode="slow")
        with pytest.raises(DefinitionError, match="must be str or None, not 3"):
            sample(maybe=3)

    @pytest.mark.parametrize(
        ("annotation", "good", "bad", "text", "kind", "example"),
        [
            (list[str], ["a"], [1], "list[str]", "list[int]", '["value"]'),
            (list[int], [1], [True, "a"], "list[int]", "list[bool or str]", "[1]"),
            (list[Any], [1, "a"], ("a",), "list", "tuple[str]", '["value"]'),
            (
                dict[str, int],
                {"a": 1},
                {"a": "b"},
                "dict[str, int]",
                "dict[str, str]",
                '{"name": 1}',
            ),
            (dict[str, Any], {"a": []}, {1: 2}, "dict", "dict[int, int]", '{"name": "value"}'),
            (tuple[str, ...], ("a",), (1,), "tuple[str, ...]", "tuple[int]", '["value"]'),
            (tuple[int, str], (1, "a"), (1,), "tuple[int, str]", "tuple[int]", None),
            (Sequence[str] | None, None, [1], "Sequence[str] or None", "list[int]", '["value"]'),
            (
                list[tuple[str, int]],
                [("a", 1), ["a", 1]],
                [1],
                "list[tuple[str, int]]",
                "list[int]",
                None,
            ),
        ],
    )
    def test_items_are_checked(self, annotation, good, bad, text, kind, example):
        parts = StepDecorator(
            "parts", make_dataclass("Parts", [("x", annotation)], bases=(Options,))
        )
        assert parts.make(x=good).x == good
        with pytest.raises(DefinitionError) as caught:
            parts.make(x=bad)
        assert caught.value.what == f"Option 'x' must be {text}, not {bad!r}"
        assert caught.value.why == f"it was given a value of type {kind}"
        with pytest.raises(UsageError) as told:
            parts.parse("x=word")
        assert told.value.what == f"--with parts: option 'x' must be {text}, not 'word'"
        assert told.value.hint == (f"--with 'parts:x={example}'" if example else "--with parts:x=…")

    @pytest.mark.parametrize("annotation", [list[str], Sequence[str], Iterable[str] | None])
    def test_one_text_is_not_many(self, annotation):
        """Though Python takes a text for a sequence of texts."""
        parts = StepDecorator(
            "parts", make_dataclass("Parts", [("x", annotation)], bases=(Options,))
        )
        with pytest.raises(DefinitionError) as caught:
            parts.make(x="pandas")
        assert caught.value.hint == "x=['pandas']"

    def test_validate_has_the_last_word(self):
        with pytest.raises(DefinitionError) as caught:
            sample(times=-1)
        assert caught.value.hint == "times=0"
        assert caught.value.where == "decorator @sample"

    def test_an_int_is_a_float(self):
        assert sample.make(delay=2).delay == 2

    def test_mutable_defaults_are_not_shared(self):
        sample.make().rows.append(1)
        assert sample.make().rows == []


class TestDescription:
    def test_all_that_help_needs(self):
        infos = {o.name: o for o in describe_options(SampleOptions)}
        assert infos["times"] == ("times", "int", 3, "How often.")
        assert infos["mode"].type == "'fast' or 'safe'"
        assert infos["maybe"].type == "str or None"
        assert infos["table"].default == {}
        assert sample.__doc__ == "Try something."


class TestText:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("", {}),
            ("times=5", {"times": 5}),
            ("times=5,delay=2", {"times": 5, "delay": 2}),
            ("flag=yes,word=yes", {"flag": True, "word": "yes"}),
            ("word=a,b", {"word": "a,b"}),
            ("word=a,times=1", {"word": "a", "times": 1}),
            ("word=a=b", {"word": "a=b"}),
            ('table={"a": 1, "b": [2, 3]},times=1', {"table": {"a": 1, "b": [2, 3]}, "times": 1}),
            ('names=["a","b"]', {"names": ("a", "b")}),
            ("maybe=null", {"maybe": None}),
            (" times = 5 , word = x ", {"times": 5, "word": "x"}),
            ("word=3", {"word": "3"}),
        ],
    )
    def test_parse(self, text, values):
        assert sample.parse(text) == SampleOptions(**values)

    @pytest.mark.parametrize(
        ("text", "what", "hint"),
        [
            ("tims=3", "--with sample: there is no option 'tims'", "did you mean 'times'?"),
            ("times", "--with sample: 'times' is not of the form option=value", "option=value"),
            ("times=x", "--with sample: option 'times' must be int, not 'x'", "times=…"),
            ("times=-1", "--with sample: Option 'times' must not be negative", "times=0"),
            ("mode=slow", "must be 'fast' or 'safe', not 'slow'", "mode=…"),
        ],
    )
    def test_parse_errors(self, text, what, hint):
        with pytest.raises(UsageError) as caught:
            sample.parse(text)
        assert what in caught.value.what
        assert hint in caught.value.hint

    @pytest.mark.parametrize(
        ("hint", "shown"),
        [
            ("@sample(times=0)", "--with sample:times=0"),
            ("@sample(times=3, delay=0.5)", "--with sample:times=3,delay=0.5"),
            ("@sample(mode='fast')", "--with sample:mode=fast"),
            ("@sample(vars={'A': '1'})", """--with 'sample:vars={"A": "1"}'"""),
            ("@sample(names=['a.b'])", """--with 'sample:names=["a.b"]'"""),
            ("@sample(word=…, times=3)", "--with sample:word=…"),
            ("@sample(call=[notify])", "@sample(call=[notify])"),
            ("@sample or @sample(times=0)", "@sample or @sample(times=0)"),
            ("another name", "another name"),
        ],
    )
    def test_a_hint_is_what_to_type_after_with(self, hint, shown):
        @dataclass(frozen=True)
        class Refused(Options):
            def validate(self):
                raise DefinitionError("no", hint=hint)

        with pytest.raises(UsageError) as caught:
            StepDecorator("sample", Refused).parse("")
        assert caught.value.hint == shown

    def test_a_dict_is_shown_as_an_example(self):
        @dataclass(frozen=True)
        class Variables(Options):
            vars: dict[str, str] = option({}, "Some.")  # noqa: RUF009

        with pytest.raises(UsageError) as caught:
            StepDecorator("sample", Variables).parse("vars=A=b")
        assert caught.value.hint == """--with 'sample:vars={"name": "value"}'"""

    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
    TEXT = st.text() | st.lists(
        st.sampled_from([",", "=", '"', "'", "a", "times=", " ", "\\", "\n", "3", "null", "{", "ü"])
    ).map("".join)

    @given(
        st.builds(
            SampleOptions,
            times=st.integers(min_value=0),
            delay=st.floats(allow_nan=False) | st.integers(),
            word=TEXT,
            maybe=st.none() | TEXT,
            flag=st.booleans(),
            mode=st.sampled_from(["fast", "safe"]),
            table=st.dictionaries(TEXT, JSON, max_size=3),
            names=st.lists(TEXT, max_size=3).map(tuple),
            rows=st.lists(JSON, max_size=3),
        )
    )
    @example(SampleOptions(word="a, times=9"))
    @example(SampleOptions(maybe="null", word=" x"))
    def test_parse_undoes_to_text(self, options):
        text = sample.to_text(options)
        name, _, rest = text.partition(":")
        assert name == "sample"
        assert sample.parse(rest) == options


class TestClasses:
    def test_without_options_two_are_equal(self):
        class BareOptions(Options):
            """Nothing to choose."""

        bare = StepDecorator("bare", BareOptions)
        assert bare.parse("") == bare.make()
        assert hash(bare.make()) == hash(bare.make())
        assert repr(bare.make()).endswith("BareOptions()")
        with pytest.raises(UsageError) as caught:
            bare.parse("x=1")
        assert caught.value.hint == "--with bare"

    def test_a_forgotten_dataclass(self):
        class LooseOptions(Options):
            times: int = option(3)

        with pytest.raises(DefinitionError) as caught:
            StepDecorator("loose", LooseOptions)
        assert caught.value.hint == "write @dataclass(frozen=True) above it"


def test_a_number_in_the_place_of_a_text_is_shown_as_one():
    versioned = StepDecorator("v", make_dataclass("V", [("python", str)], bases=(Options,)))
    with pytest.raises(DefinitionError) as caught:
        versioned.make(python=3.12)
    assert caught.value.hint == "python='3.12'"
    with pytest.raises(DefinitionError) as caught:
        versioned.make(python=True)
    assert caught.value.hint is None


def test_numbers_in_a_dict_of_texts_are_shown_as_texts():
    fields = [("packages", dict[str, str])]
    versions = StepDecorator("v", make_dataclass("V", fields, bases=(Options,)))
    with pytest.raises(DefinitionError) as caught:
        versions.make(packages={"pandas": 2.2, "six": "1.16.0"})
    assert caught.value.hint == "packages={'pandas': '2.2', 'six': '1.16.0'}"
    with pytest.raises(DefinitionError) as caught:
        versions.make(packages={"pandas": None})
    assert caught.value.hint is None
