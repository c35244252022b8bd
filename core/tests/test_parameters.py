"""Parameters: what a person may give, what a flow may declare, and what is said when it is wrong."""

import datetime
import decimal
import enum
import os
import sys

import click
import pytest

from flow_core.errors import DefinitionError, LintError, ParameterError, UsageError
from flow_core.flowspec import FlowSpec
from flow_core.parameters import (
    RESERVED,
    IncludeFile,
    JSONType,
    Parameter,
    ParameterContext,
    collect_parameters,
    resolve_parameters,
)
from flow_core.testing.flowtester import main_kept

CONTEXT = ParameterContext("F", "ada", "x")

TOML_LINE = ":2" if sys.version_info < (3, 11) else ""
"""tomli, which reads TOML on Python 3.10, tells the line; the tomllib of later ones does not."""


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "given", "value"),
        [
            (str, "a b", "a b"),
            (str, "", ""),
            (int, "3", 3),
            (int, "-3", -3),
            (int, 3, 3),
            (float, "0.5", 0.5),
            (float, "1e3", 1000.0),
            (float, 3, 3.0),
            (float, "inf", float("inf")),
            (bool, True, True),
            (bool, "yes", True),
            (bool, "TRUE", True),
            (bool, "1", True),
            (bool, "on", True),
            (bool, "no", False),
            (bool, "0", False),
            (bool, "Off", False),
            (JSONType, '{"a": [1, null]}', {"a": [1, None]}),
            (JSONType, "3", 3),
            (JSONType, {"a": (1, 2)}, {"a": [1, 2]}),
        ],
    )
    def test_values_are_converted(self, kind, given, value):
        found = Parameter("x", type=kind).resolve(given, CONTEXT)
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("kind", "given", "what", "hint"),
        [
            (int, "abc", "Parameter --x: 'abc' is not an integer", "--x 3"),
            (int, "3.5", "Parameter --x: '3.5' is not an integer", "--x 3"),
            (int, 3.5, "Parameter --x: '3.5' is not an integer", "--x 3"),
            (int, True, "Parameter --x: 'True' is not an integer", "--x 3"),
            (float, "much", "Parameter --x: 'much' is not a number", "--x 0.5"),
            (bool, "maybe", "Parameter --x: 'maybe' is not true or false", "--x true"),
            (str, 3, "Parameter --x: '3' is not text", "--x TEXT"),
            (JSONType, "{", "Parameter --x: '{' is not valid JSON", "--x '{\"key\": 1}'"),
            (JSONType, {1, 2}, "Parameter --x: '{1, 2}' is not valid JSON", "--x '{\"key\": 1}'"),
        ],
    )
    def test_bad_values_say_what_to_type(self, kind, given, what, hint):
        with pytest.raises(ParameterError) as caught:
            Parameter("x", type=kind).resolve(given, CONTEXT)
        assert caught.value.what == what
        assert caught.value.hint == hint
        assert caught.value.exit_code == 2
        assert caught.value.why or kind is not JSONType

    @pytest.mark.parametrize(
        ("default", "name"),
        [
            (1, "int"),
            (0.5, "float"),
            (False, "bool"),
            ("a", "str"),
            ({"a": 1}, "JSON"),
            ([], "JSON"),
            (None, "str"),
            (lambda context: 1, "str"),
        ],
    )
    def test_the_type_is_inferred_from_the_default(self, default, name):
        assert Parameter("x", default=default).type_name == name


class TestDefaults:
    def test_none_without_a_default(self):
        assert Parameter("x").resolve(None, CONTEXT) is None

    def test_required(self):
        with pytest.raises(ParameterError) as caught:
            Parameter("learning_rate", required=True).resolve(None, CONTEXT)
        assert caught.value.what == "Parameter --learning-rate is required"
        assert caught.value.hint == "--learning-rate VALUE"

    def test_a_default_makes_it_optional(self):
        assert Parameter("x", required=True, default=0).resolve(None, CONTEXT) == 0
        assert not Parameter("x", required=True, default=0).required

    def test_a_function_gets_the_context_and_its_result_is_converted(self):
        asked = []
        parameter = Parameter("x", type=int, default=lambda c: asked.append(c) or "5")
        assert parameter.resolve(None, CONTEXT) == 5
        assert asked == [CONTEXT]
        assert parameter.resolve("7", CONTEXT) == 7
        assert len(asked) == 1

    def test_a_function_that_fails(self):
        def broken(context):
            raise KeyError("home")

        with pytest.raises(ParameterError) as caught:
            Parameter("x", default=broken).resolve(None, CONTEXT)
        assert caught.value.what == "The default of parameter --x could not be computed"
        assert caught.value.why == "KeyError: 'home'"
        assert caught.value.hint == "give a value: --x VALUE"

    def test_a_function_that_returns_another_type(self):
        def text(context):
            return "a"

        with pytest.raises(ParameterError) as caught:
            Parameter("x", type=int, default=text).resolve(None, CONTEXT)
        assert caught.value.what == "The default of parameter --x is of another type"
        assert caught.value.where == f"{__file__}:{text.__code__.co_firstlineno}"
        assert "text' returned 'a'" in caught.value.why
        assert "'a' is not an integer" in caught.value.why
        assert caught.value.hint == "let it return int, or give a value: --x VALUE"
        assert caught.value.exit_code == 2

    def test_a_default_of_another_type(self):
        (problem,) = Parameter("x", type=int, default="a").problems
        assert problem.what == "The default of parameter 'x' does not fit its type"
        assert "not an integer" in problem.why
        assert problem.where.startswith(f"{__file__}:")

    def test_the_flow_file_and_line_are_told(self, flowtester):
        file = flowtester.write(
            """
            from flow_core import FlowSpec, Parameter
            class F(FlowSpec):
                a = Parameter("a")
                b = Parameter("max-workers")
                c = Parameter(
                    "x y",
                    type=list,
                )
                d = Parameter("A")
            """
        )
        with main_kept(), pytest.raises(LintError) as caught:
            flowtester.session(flowtester.load(file)).definition
        messages = [p.message for p in caught.value.problems]
        assert [p.line for p in caught.value.problems[:3]] == [4, 5, 5]
        assert [m.split(":")[0] for m in messages[:3]] == [
            "Parameter 'max-workers' has a reserved name",
            "'x y' cannot be the name of a parameter",
            "Parameter 'x y' has the type <class 'list'>",
        ]
        assert messages[3].startswith("Flow 'F' has two parameters with the option --A")
        assert "has no step 'start'" in "".join(messages)


class TestNames:
    @pytest.mark.parametrize("name", [*sorted(RESERVED), "max_workers", "Run-Id-File"])
    def test_reserved(self, name):
        (problem,) = Parameter(name).problems
        assert problem.what == f"Parameter '{name}' has a reserved name"
        assert "is an option of flow-core's own" in problem.why
        assert f"'{name}_value'" in problem.hint

    @pytest.mark.parametrize("name", ["", "3d", "a b", "-x", "a=b", "--x"])
    def test_no_option_names(self, name):
        (problem,) = Parameter(name).problems
        assert "cannot be the name of a parameter" in problem.what
        assert problem.why

    def test_a_type_that_is_none(self):
        for kind in (list, dict, 3):
            (problem,) = Parameter("x", type=kind).problems
            assert problem.what == f"Parameter 'x' has the type {kind!r}"
            assert problem.hint.startswith("use str, int, float, bool, JSONType, a type of click")

    @pytest.mark.parametrize("other", ["alpha", "ALPHA", "Alpha"])
    def test_two_of_one_name(self, other):
        class F(FlowSpec):
            one = Parameter("alpha")
            two = Parameter(other)

        with pytest.raises(DefinitionError) as caught:
            collect_parameters(F)
        assert "two parameters with the option --" in caught.value.what
        assert caught.value.where == "attributes 'one' and 'two'"
        assert caught.value.hint

    def test_underscore_and_dash_are_one(self):
        class F(FlowSpec):
            one = Parameter("learning_rate")
            two = Parameter("learning-rate")

        with pytest.raises(DefinitionError):
            collect_parameters(F)

    def test_inherited_ones_can_be_replaced_and_removed(self):
        class Base(FlowSpec):
            a = Parameter("a", default=1)
            b = Parameter("b")

        class F(Base):
            a = Parameter("a", default=2)
            b = None

        (only,) = collect_parameters(F)
        assert only.default == 2

    def test_unknown_ones_are_refused_with_what_is_near(self):
        with pytest.raises(ParameterError) as caught:
            resolve_parameters([Parameter("alpha")], {"alhpa": "1"}, "F", "ada")
        assert caught.value.what == "Flow 'F' has no parameter 'alhpa'"
        assert caught.value.hint == "did you mean 'alpha'?"

    def test_a_parameter_cannot_take_the_place_of_what_flow_core_offers(self, flowtester):
        with pytest.raises(LintError, match="cannot be called 'input'"):
            flowtester.session(type("F", (FlowSpec,), {"input": Parameter("data")})).definition

    def test_all_that_cannot_be_used_is_told_at_once(self):
        parameters = [Parameter("alpha", type=int), Parameter("beta", required=True)]
        with pytest.raises(ParameterError) as caught:
            resolve_parameters(parameters, {"alpha": "x", "gamma": 1}, "F", "ada")
        text = str(caught.value)
        assert text.startswith("Flow 'F' cannot use its parameters: 3 problems\n1. Flow 'F' has no")
        assert "2. Parameter --alpha: 'x' is not an integer\n  try:   --alpha 3" in text
        assert "3. Parameter --beta is required" in text
        assert caught.value.exit_code == 2

    def test_dashes_and_underscores_are_one_from_outside(self):
        found = resolve_parameters([Parameter("learning-rate")], {"learning_rate": "1"}, "F", "ada")
        assert found == {"learning-rate": "1"}


class TestSeveralValues:
    @pytest.mark.parametrize(
        ("given", "value"),
        [
            ("a,b", ["a", "b"]),
            ("a", ["a"]),
            ("", []),
            (["a", "b"], ["a", "b"]),
            (("a",), ["a"]),
            (None, ["x", "y"]),
        ],
    )
    def test_separator(self, given, value):
        for default in ("x,y", ["x", "y"]):
            parameter = Parameter("x", type=str, separator=",", default=default)
            assert parameter.problems == []
            assert parameter.resolve(given, CONTEXT) == value

    def test_a_separator_splits_texts_only(self):
        for options in ({"type": int}, {"default": 3}, {"type": JSONType}, {"multiple": True}):
            (problem,) = Parameter("x", separator=",", **options).problems
            assert "separator=" in problem.what
        (problem,) = Parameter("x", separator="").problems
        assert problem.what == "Parameter 'x' has separator='', which separates nothing"

    @pytest.mark.parametrize("given", [3, {"a": 1}])
    def test_what_cannot_be_split(self, given):
        with pytest.raises(ParameterError, match="is not text"):
            Parameter("x", separator=",").resolve(given, CONTEXT)

    @pytest.mark.parametrize(
        ("options", "given", "value"),
        [
            ({}, None, ()),
            ({}, (), ()),
            ({}, ("a", "b"), ("a", "b")),
            ({}, "a", ("a",)),
            ({"default": ("a", "b")}, None, ("a", "b")),
            ({"default": ("a", "b")}, ["c"], ("c",)),
            ({"default": [1, 2]}, ("3",), (3,)),
            ({"default": 1}, None, (1,)),
            ({"type": int}, [1, "2"], (1, 2)),
            ({"type": JSONType}, ("[1]", {"a": 2}), ([1], {"a": 2})),
            ({"default": lambda context: ["x"]}, None, ("x",)),
            ({"default": lambda context: None}, None, ()),
            ({"type": int, "nargs": 2}, (("1", "2"), (3, 4)), ((1, 2), (3, 4))),
            ({"type": int, "nargs": 2}, ("1", "2"), ((1, 2),)),
        ],
    )
    def test_multiple(self, options, given, value):
        parameter = Parameter("x", multiple=True, **options)
        assert parameter.problems == []
        assert parameter.resolve(given, CONTEXT) == value

    def test_one_of_several_is_wrong(self):
        with pytest.raises(ParameterError) as caught:
            Parameter("x", multiple=True, type=int).resolve(("1", "b"), CONTEXT)
        assert caught.value.what == "Parameter --x: 'b' is not an integer"

    def test_multiple_and_required(self):
        parameter = Parameter("x", multiple=True, required=True)
        for given in (None, ()):
            with pytest.raises(ParameterError, match="--x is required"):
                parameter.resolve(given, CONTEXT)

    def test_a_fixed_number(self):
        parameter = Parameter("x", type=int, nargs=2, default=(1, 2))
        assert parameter.resolve(("3", "4"), CONTEXT) == (3, 4)
        assert parameter.resolve("3 4", CONTEXT) == (3, 4)
        assert parameter.resolve(None, CONTEXT) == (1, 2)
        with pytest.raises(ParameterError) as caught:
            parameter.resolve((1, 2, 3), CONTEXT)
        assert caught.value.why == "it takes 2 values"
        assert caught.value.hint == "--x 3 3"
        for wrong in (0, -1, True, "2"):
            (problem,) = Parameter("x", nargs=wrong).problems
            assert problem.what == f"Parameter 'x' has nargs={wrong!r}"


class TestTypesOfOthers:
    def test_types_of_click(self):
        mode = Parameter("mode", type=click.Choice(["fast", "exact"]), default="fast")
        assert mode.problems == []
        assert mode.resolve("exact", CONTEXT) == "exact"
        with pytest.raises(ParameterError) as caught:
            mode.resolve("fats", CONTEXT)
        assert caught.value.what == "Parameter --mode: 'fats' is not one of fast, exact"
        assert caught.value.hint == "did you mean 'fast'?"
        small = Parameter("n", type=click.IntRange(1, 5))
        assert small.resolve("3", CONTEXT) == 3
        with pytest.raises(ParameterError) as caught:
            small.resolve("9", CONTEXT)
        assert "1<=x<=5" in caught.value.why

    def test_enumerations(self):
        class Mode(enum.Enum):
            FAST = "fast"
            EXACT = 2

        mode = Parameter("mode", default=Mode.FAST, help="How.")
        assert mode.problems == []
        assert mode.resolve(None, CONTEXT) is Mode.FAST
        assert mode.resolve("fast", CONTEXT) is Mode.FAST
        assert mode.resolve("EXACT", CONTEXT) is Mode.EXACT
        assert mode.resolve("2", CONTEXT) is Mode.EXACT
        option = mode.click_option()
        assert (option.metavar, option.help) == ("[fast|2]", "How.  [default: fast]")
        with pytest.raises(ParameterError) as caught:
            mode.resolve("fats", CONTEXT)
        assert caught.value.what == "Parameter --mode: 'fats' is not one of fast, 2"
        assert caught.value.hint == "did you mean 'fast'?"

    def test_functions(self):
        day = Parameter("day", type=datetime.date.fromisoformat)
        assert day.resolve("2026-01-02", CONTEXT) == datetime.date(2026, 1, 2)
        assert day.resolve(datetime.date(2026, 1, 2), CONTEXT) == datetime.date(2026, 1, 2)
        amount = Parameter("amount", type=decimal.Decimal, default=decimal.Decimal("1.5"))
        assert amount.problems == []
        assert amount.resolve(None, CONTEXT) == decimal.Decimal("1.5")
        assert amount.resolve("2", CONTEXT) == 2
        with pytest.raises(ParameterError) as caught:
            amount.resolve("x", CONTEXT)
        assert caught.value.what == "Parameter --amount: 'x' is not a valid Decimal"
        assert "ConversionSyntax" in caught.value.why

    def test_open_files_are_refused(self):
        (problem,) = Parameter("x", type=click.File()).problems
        assert problem.hint == "IncludeFile('x')"


class TestDeclarations:
    def test_options_of_click(self):
        parameter = Parameter(
            "x", type=int, hidden=True, metavar="N", envvar="MY_X", show_envvar=True, nargs=2
        )
        option = parameter.click_option("deploy")
        assert (option.opts, option.name) == (["--x"], "parameter_x")
        assert (option.hidden, option.metavar, option.nargs) == (True, "N", 2)
        assert (option.envvar, option.show_envvar) == (["FLOW_DEPLOY_X", "MY_X"], True)

    def test_unknown_ones(self):
        (problem,) = Parameter("x", hiden=True).problems
        assert problem.what == "Parameter 'x' has no option 'hiden'"
        assert problem.hint == "did you mean 'hidden'?"

    @pytest.mark.parametrize("name", ["help", "metavar", "envvar"])
    def test_only_the_default_is_computed(self, name):
        (problem,) = Parameter("x", **{name: lambda context: "a"}).problems
        assert problem.what == f"Parameter 'x': {name}= cannot be a function"

    @pytest.mark.parametrize(
        ("options", "help", "metavar"),
        [
            ({}, "", "TEXT"),
            ({"help": "How."}, "How.", "TEXT"),
            ({"default": 3}, "[default: 3]", "INT"),
            ({"default": 3, "show_default": True}, "[default: 3]", "INT"),
            ({"default": 3, "show_default": False}, "", "INT"),
            ({"default": lambda context: 1}, "[default: computed]", "TEXT"),
            ({"required": True}, "[required]", "TEXT"),
            (
                {"multiple": True, "default": ("a", "b")},
                "[may be repeated; default: a, b]",
                "TEXT",
            ),
            ({"separator": ",", "default": ["a", "b"]}, "[default: a,b]", "TEXT,…"),
            ({"default": {"a": 1}}, '[default: {"a": 1}]', "JSON"),
            ({"type": click.Choice(["a", "b"])}, "", "[a|b]"),
            ({"type": float, "nargs": 2}, "", "FLOAT FLOAT"),
        ],
    )
    def test_help(self, options, help, metavar):
        option = Parameter("x", **options).click_option()
        assert option.help == help
        assert option.metavar == metavar.replace("TEXT", "STR")

    @pytest.mark.parametrize(
        ("kind", "text", "values"),
        [
            (str, "a b", ("a", "b")),
            (int, " 1 2", (1, 2)),
            (JSONType, '{"a": 1}', ({"a": 1},)),
            (JSONType, '{"a": 1} [2, 3]\n"x y"', ({"a": 1}, [2, 3], "x y")),
        ],
    )
    def test_several_values_in_a_variable(self, kind, text, values):
        parameter = Parameter("x", type=kind, multiple=True)
        command = click.Command("run", params=[parameter.click_option()])
        given = command.make_context("run", []).params["parameter_x"]
        assert given == ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLOW_RUN_X", text)
            given = command.make_context("run", []).params["parameter_x"]
        assert parameter.resolve(given, CONTEXT) == values

    def test_json_that_is_none_in_a_variable(self):
        parameter = Parameter("x", type=JSONType, multiple=True)
        assert parameter.click_option().type.split_envvar_value("[1] {a b") == ["[1]", "{a b"]


class TestInAFlow:
    SOURCE = """
        from flow_core import FlowSpec, step, Parameter, JSONType, IncludeFile, current
        class F(FlowSpec):
            alpha = Parameter("alpha-value", type=int, default=1)
            config = Parameter("config", type=JSONType, default={"a": 1})
            who = Parameter("who", default=lambda c: f"{c.flow_name}/{c.user_name}/{c.parameter_name}")
            text = IncludeFile("text", default="beside.txt")
            data = IncludeFile("data", is_text=False)
            @step
            def start(self):
                self.seen = (self.alpha, self.config, self.who, self.text, self.data)
                self.names = current.parameter_names
                self.next(self.end)
            @step
            def end(self):
                self.again = (self.alpha, self.text)
        """

    def test_values_are_the_same_in_every_step(self, flowtester):
        flowtester.write("über", "beside.txt")
        (flowtester.path / "raw").write_bytes(b"\xff\x00")
        outcome = flowtester.run(
            self.SOURCE, parameters={"alpha-value": "5", "data": "raw", "config": "[1]"}
        )
        assert outcome.error is None, outcome.error
        assert outcome.artifact("end", "seen") == (5, [1], "F/tester/who", "über", b"\xff\x00")
        assert outcome.artifact("end", "again") == (5, "über")
        assert set(outcome.artifact("end", "names")) == {
            "alpha-value",
            "config",
            "who",
            "text",
            "data",
        }

    def test_a_bad_value_starts_no_run(self, flowtester):
        outcome = flowtester.run(self.SOURCE, parameters={"alpha-value": "x"})
        assert isinstance(outcome.error, ParameterError)
        assert outcome.run == ""
        assert list(outcome.store.list("runs/")) == []


class TestIncludeFile:
    def read(self, path, **options):
        return IncludeFile("data", **options).resolve(str(path), CONTEXT)

    def test_text_and_bytes_and_encodings(self, tmp_path):
        file = tmp_path / "f"
        file.write_bytes("ä\r\n".encode("latin-1"))
        assert self.read(file, encoding="latin-1") == "ä\r\n"
        assert self.read(file, is_text=False) == b"\xe4\r\n"

    def test_text_of_another_encoding(self, tmp_path):
        file = tmp_path / "f"
        file.write_bytes(b"\xff")
        with pytest.raises(ParameterError) as caught:
            self.read(file)
        assert caught.value.what == f"Parameter --data: the file '{file}' is not utf-8 text"
        assert "is_text=False" in caught.value.hint

    def test_a_missing_file_and_a_folder(self, tmp_path):
        for path, why in ((tmp_path / "no", "No such file or directory"), (tmp_path, "directory")):
            with pytest.raises(ParameterError) as caught:
                self.read(path)
            assert caught.value.what == f"Parameter --data: the file '{path}' cannot be read"
            assert why in caught.value.why
            assert caught.value.hint == "--data PATH"

    def test_home_is_expanded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "f").write_text("x")
        assert self.read("~/f") == "x"

    def test_required_and_absent(self):
        assert IncludeFile("data").resolve(None, CONTEXT) is None
        with pytest.raises(ParameterError, match="--data is required"):
            IncludeFile("data", required=True).resolve(None, CONTEXT)

    def test_a_function_may_give_the_path(self, tmp_path):
        (tmp_path / "f").write_text("x")
        parameter = IncludeFile("data", default=lambda context: tmp_path / "f")
        assert parameter.resolve(None, CONTEXT) == "x"

    def test_a_default_that_is_no_path(self):
        (problem,) = IncludeFile("data", default=3).problems
        assert "must be a path, not 3" in problem.what

    def test_an_encoding_that_does_not_exist(self):
        (problem,) = IncludeFile("data", encoding="utf-88").problems
        assert "utf-88" in problem.why

    @pytest.mark.parametrize("path", ["s3://bucket/x", "https://example.org/x", "file:///x"])
    def test_what_is_elsewhere_is_refused_with_the_reason(self, path):
        for parameter, given in (
            (IncludeFile("data"), path),
            (IncludeFile("data", default=path), None),
        ):
            with pytest.raises(ParameterError) as caught:
                parameter.resolve(given, CONTEXT)
            assert caught.value.what == f"Parameter --data: '{path}' is no file of this machine"
            assert "read once, when the run starts" in caught.value.why

    def test_no_path(self):
        with pytest.raises(ParameterError, match="3 is not the path of a file"):
            IncludeFile("data").resolve(3, CONTEXT)

    def test_a_parser_that_does_not_exist_starts_no_run(self, tmp_path):
        (tmp_path / "f").write_text("x")
        for parser, what in (
            ("no.such.thing", "the parser 'no.such.thing' cannot be loaded"),
            ("jsn", "There is no parser 'jsn'"),
            ("ini", "no plugin provides the parser 'ini': pip install flow-ini"),
            ("sys.path", "the parser 'sys.path' cannot be loaded"),
            (3, "IncludeFile 'data' has the parser 3"),
        ):
            with pytest.raises(UsageError) as caught:
                self.read(tmp_path / "f", parser=parser)
            assert what in caught.value.what


class TestParsers:
    SOURCE = """
        import json
        from flow_core import FlowSpec, step, IncludeFile, Parameter
        def upper(text):
            calls.append(text)
            return text.upper()
        calls = []
        class F(FlowSpec):
            own = IncludeFile("own", default="f.json", parser=upper)
            path = IncludeFile("path", default="f.json", parser="json.loads")
            named = IncludeFile("named", default="f.json", parser="json")
            none = IncludeFile("none", parser="json")
            tables = IncludeFile("tables", default="f.toml", parser="toml")
            @step
            def start(self):
                self.seen = (self.own, self.path, self.named, self.none, self.tables, self.own)
                self.calls = len(calls)
                self.next(self.end)
            @step
            def end(self):
                pass
        """

    def test_steps_see_what_the_parser_makes_of_it(self, flowtester):
        flowtester.write('{"a": 1}', "f.json")
        flowtester.write("a = 1979-05-27", "f.toml")
        outcome = flowtester.run(self.SOURCE)
        tables = {"a": datetime.date(1979, 5, 27)}
        assert outcome.artifact("start", "seen") == (
            '{"A": 1}', {"a": 1}, {"a": 1}, None, tables, '{"A": 1}'
        )  # fmt: skip
        # Once when the run starts, in this same process, and once in the step.
        assert outcome.artifact("start", "calls") == 2

    @pytest.mark.parametrize(
        ("parser", "content", "line", "why"),
        [
            ("json", '{"a": 1,\n "b": oops}', ":2", "Expecting value: line 2 column 7 (char 15)"),
            ("toml", "a = 1\nb = = 2", TOML_LINE, "Invalid value (at line 2, column 5)"),
            ("yaml", "a: 1\nb: [2", "", "line 2, column 4"),
            ("yaml.safe_load", "a: 1\nb: [2", ":2", "line 2, column 4"),
            ("ast.literal_eval", "(1,\n 2", ":1", "SyntaxError: '(' was never closed"),
            ("math.sqrt", "16", "", "TypeError: must be real number, not str"),
        ],
    )
    def test_what_a_parser_refuses_starts_no_run(self, flowtester, parser, content, line, why):
        flowtester.write(content, "data.txt")
        outcome = flowtester.run(
            f"""
            from flow_core import FlowSpec, step, IncludeFile
            class F(FlowSpec):
                data = IncludeFile("data", default="data.txt", parser={parser!r})
                @step
                def start(self):
                    self.next(self.end)
                @step
                def end(self):
                    pass
            """,
            plugins=["yaml"],
        )
        assert outcome.error.what == f"IncludeFile 'data' cannot be parsed by '{parser}'"
        assert outcome.error.where == str(flowtester.path / "data.txt") + line
        assert why in outcome.error.why
        assert "parser='json', 'toml', 'yaml'" in outcome.error.hint
        assert not list(outcome.store.list())

    def test_the_content_is_stored_once(self, flowtester):
        (flowtester.path / "f.txt").write_bytes(os.urandom(100_000))
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, step, IncludeFile
            class F(FlowSpec):
                data = IncludeFile("data", default="f.txt", is_text=False)
                @step
                def start(self):
                    self.n = len(self.data)
                    self.next(self.end)
                @step
                def end(self):
                    pass
            """
        )
        assert outcome.artifact("start", "n") == 100_000
        sizes = [e.size for e in outcome.store.list("blobs/")]
        assert len([s for s in sizes if s > 90_000]) == 1
        assert "data" not in outcome.manifests("end")[0].artifacts


def test_a_computed_path_that_is_none(flowtester) -> None:
    source = """
        from flow_core import FlowSpec, IncludeFile, step

        class Odd(FlowSpec):
            data = IncludeFile("data", default=lambda context: 3)

            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
    """
    outcome = flowtester.run(source)
    assert str(outcome.error) == (
        "The default of parameter --data is no path, but 3\n"
        f"  where: {flowtester.path / 'flow.py'}:4\n"
        "  why:   its function must return the path of a file\n"
        "  try:   --data PATH"
    )
