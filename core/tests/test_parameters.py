"""Parameters: what a person may give, what a flow may declare, and what is said when it is wrong."""

import pytest

from flow_core.errors import DefinitionError, LintError, ParameterError
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

CONTEXT = ParameterContext("F", "ada", "x")


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
        with pytest.raises(ParameterError, match="'a' is not an integer"):
            Parameter("x", type=int, default=lambda c: "a").resolve(None, CONTEXT)

    def test_a_default_of_another_type(self):
        with pytest.raises(DefinitionError) as caught:
            Parameter("x", type=int, default="a")
        assert caught.value.what == "The default of parameter 'x' does not fit its type"
        assert "not an integer" in caught.value.why

    def test_the_flow_file_and_line_are_told(self, flowtester):
        file = flowtester.write(
            """
            from flow_core import FlowSpec, Parameter
            class F(FlowSpec):
                a = Parameter("a")
                b = Parameter("max-workers")
            """
        )
        with pytest.raises(DefinitionError) as caught:
            flowtester.load(file)
        assert caught.value.where == f"{file}:4"


class TestNames:
    @pytest.mark.parametrize("name", [*sorted(RESERVED), "max_workers", "Run-Id-File"])
    def test_reserved(self, name):
        with pytest.raises(DefinitionError) as caught:
            Parameter(name)
        assert caught.value.what == f"Parameter '{name}' has a reserved name"
        assert "is an option of flow-core's own" in caught.value.why
        assert f"'{name}_value'" in caught.value.hint

    @pytest.mark.parametrize("name", ["", "3d", "a b", "-x", "a=b", "--x"])
    def test_no_option_names(self, name):
        with pytest.raises(DefinitionError, match="cannot be the name of a parameter") as caught:
            Parameter(name)
        assert caught.value.why

    def test_a_type_that_is_none(self):
        with pytest.raises(DefinitionError) as caught:
            Parameter("x", type=list)
        assert caught.value.hint == "use str, int, float, bool or JSONType"

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
        with pytest.raises(DefinitionError, match="must be a path, not 3"):
            IncludeFile("data", default=3)

    def test_an_encoding_that_does_not_exist(self):
        with pytest.raises(DefinitionError) as caught:
            IncludeFile("data", encoding="utf-88")
        assert "utf-88" in caught.value.why


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
        "  why:   its function must return the path of a file\n"
        "  try:   --data PATH"
    )
