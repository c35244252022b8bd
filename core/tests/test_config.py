"""Configurations: where their values come from, what may depend on them, and how mistakes are told."""

import copy
import json
import pickle
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.config import (
    Config,
    ConfigSources,
    ConfigValue,
    Delayed,
    config_expr,
    decode_values,
    encode_values,
    resolve_configs,
    sources_of_environment,
    split_arguments,
)
from flow_core.errors import DefinitionError, LintError, UsageError
from flow_core.flowspec import FlowSpec
from flow_core.parameters import Parameter

HEAD = "from flow_core import FlowSpec, step, Config, Parameter, config_expr, IncludeFile\n"
STEPS = """
    @step
    def start(self):
        self.seen = self.cfg
        self.next(self.end)
    @step
    def end(self):
        pass
"""


def flow(body, head=HEAD):
    return f"{head}class F(FlowSpec):\n{body}{STEPS}"


def resolve(cls, files=(), values=(), **more):
    return resolve_configs(cls, [ConfigSources(list(files), list(values))], "ada", **more)


class TestConfigValue:
    value = ConfigValue({"a": {"b": [1, {"c": 2}]}, "items": 3})

    def test_is_a_mapping_with_attributes(self):
        assert self.value.a.b[1].c == self.value["a"]["b"][1]["c"] == 2
        assert self.value["items"] == 3
        assert isinstance(self.value, dict)
        assert json.loads(json.dumps(self.value)) == self.value
        assert dict(**self.value.a) == {"b": [1, {"c": 2}]}
        assert "a" in dir(self.value)

    def test_cannot_be_changed(self):
        for change in (
            lambda v: v.__setitem__("a", 1),
            lambda v: setattr(v, "a", 1),
            lambda v: v.__delitem__("a"),
            lambda v: v.update(a=1),
            lambda v: v.a.pop("b"),
            lambda v: v.setdefault("x", 1),
            lambda v: v.clear(),
        ):
            with pytest.raises(TypeError, match=r"cannot be changed; to_dict\(\) gives a copy"):
                change(self.value)

    def test_to_dict_is_plain_and_ones_own(self):
        plain = self.value.to_dict()
        assert type(plain["a"]) is dict
        assert type(plain["a"]["b"][1]) is dict
        plain["a"]["b"][1]["c"] = 5
        assert self.value.a.b[1].c == 2

    def test_what_is_not_there(self):
        with pytest.raises(AttributeError, match="did you mean 'items'"):
            _ = self.value.itms

    def test_copies(self):
        for made in (pickle.loads(pickle.dumps(self.value)), copy.deepcopy(self.value)):
            assert made == self.value
            assert made.a.b[1].c == 2


class TestSources:
    def test_default_file_beside_the_flow_by_its_ending(self, flowtester):
        for name, text in (
            ("c.json", '{"a": {"b": 1}}'),
            ("c.toml", "[a]\nb = 1"),
            ("c.conf", '{"a": {"b": 1}}'),
        ):
            flowtester.write(text, f"sub/{name}")
            flowtester.write(flow(f"    cfg = Config('cfg', default='{name}')\n"), "sub/flow.py")
            outcome = flowtester.run(flowtester.path / "sub/flow.py")
            assert outcome.error is None
            assert outcome.artifact("start", "seen").a.b == 1

    @pytest.mark.parametrize(
        ("config", "value"),
        [
            (Config("cfg", default="no.json"), None),
            (Config("cfg"), None),
            (Config("cfg", default_value={"a": 1}), {"a": 1}),
            (Config("cfg", default_value='{"a": 1}'), {"a": 1}),
            (Config("cfg", default_value="a = 1", parser="toml"), {"a": 1}),
            (Config("cfg", default_value=lambda c: {"a": c.user_name}), {"a": "ada"}),
            (Config("cfg", default_value="a b", parser=str.split, plain=True), ["a", "b"]),
            (Config("cfg", default_value="a b", plain=True), "a b"),
            (Config("cfg", default_value='["a"]', parser="json.loads", plain=True), ["a"]),
        ],
    )
    def test_defaults(self, config, value):
        cls = type("F", (FlowSpec,), {"cfg": config})
        assert resolve(cls) == {"cfg": value}

    def test_from_outside(self, tmp_path):
        (tmp_path / "c.toml").write_text("a = 1")
        (tmp_path / "c.json").write_text('{"a": 2}')
        cls = type(
            "F", (FlowSpec,), {"cfg": Config("cfg", default_value={}), "my_b": Config("my-b")}
        )
        found = resolve(cls, [("cfg", "c.toml")], [("my_b", {"b": 1})], folder=str(tmp_path))
        assert found == {"cfg": {"a": 1}, "my-b": {"b": 1}}
        both = [
            ConfigSources([("cfg", str(tmp_path / "c.json"))]),
            ConfigSources([], [("cfg", {})]),
        ]
        assert resolve_configs(cls, both, "ada")["cfg"] == {"a": 2}

    def test_environment(self):
        found = sources_of_environment(
            {"FLOW_CONFIG": '{"a": "x.json"}', "FLOW_CONFIG_VALUE": '{"b": {"c": 1}, "d": "{}"}'}
        )
        assert found[:2] == ([("a", "x.json")], [("b", {"c": 1}), ("d", "{}")])
        for wrong in ("{", "[]"):
            with pytest.raises(UsageError) as caught:
                sources_of_environment({"FLOW_CONFIG": wrong})
            assert caught.value.what == "FLOW_CONFIG is no JSON map of configurations"
            assert caught.value.why

    def test_all_mistakes_at_once(self):
        class F(FlowSpec):
            settings = Config("settings", required=True)
            model = Config("model")
            broken = Config("broken", default_value=lambda c: 1 / 0)
            text = Config("text", default_value="{")
            number = Config("number", default_value="3")
            path = Config("path", default=lambda c: 3)
            file = Config("file", default="no.json", required=True)

        with pytest.raises(UsageError) as caught:
            resolve(F, [("modle", "x"), ("model", "x")], [("model", "{}")])
        text = str(caught.value)
        assert caught.value.exit_code == 2
        assert text.startswith("Flow 'F' cannot use its configurations: 8 problems\n")
        for part in (
            "Flow 'F' has no configuration 'modle'",
            "did you mean 'model'?",
            "The configuration 'model' is given twice",
            "The configuration 'settings' is required\n  try:   --config settings FILE, or --config-",
            "The default of Config 'broken' could not be computed",
            "ZeroDivisionError",
            "Config 'text' cannot be parsed by 'json'",
            "Config 'number' is no mapping, but a int",
            "The default of Config 'path' is no path, but 3",
            "Config 'file': the file '",
        ):
            assert part in text

    def test_wrong_declarations(self):
        class F(FlowSpec):
            one = Config("x y")
            two = Config("a", default="f", default_value={})
            three = Config("B")
            four = Config("b")

        with pytest.raises(DefinitionError) as caught:
            resolve(F)
        text = str(caught.value)
        assert "'x y' cannot be the name of a configuration" in text
        assert "Config 'a' has default= and default_value=" in text
        assert "two configurations with the name 'b'" in text
        assert f"{__file__}:" in text

    def test_names_of_parameters(self, flowtester):
        body = "    cfg = Config('cfg')\n    a = Parameter('CFG')\n    b = Parameter('config')\n"
        with pytest.raises(LintError) as caught:
            flowtester.session(flowtester.load(flow(body))).definition
        text = str(caught.value)
        assert "a parameter and a configuration with the name CFG" in text
        assert "Parameter 'config' has a reserved name: --config gives the flow its" in text


class TestDelayed:
    def test_what_it_is_asked_for_in_a_class_body(self):
        config = Config("cfg")
        assert repr(config.a["b"].name) == "<delayed cfg.a['b'].name>"
        assert repr(config.default) == "<delayed cfg.default>"
        for use in (
            bool,
            list,
            lambda d: d + 1,
            lambda d: f"{d}",
            lambda d: d < 2,
            lambda d: 1 in d,
        ):
            with pytest.raises(TypeError, match=r'config_expr\("cfg.depth"\)'):
                use(config.depth)
        with pytest.raises(AttributeError):
            _ = config.a.__wrapped__

    def test_in_decorators_and_parameters(self, flowtester):
        source = flow(
            """
    cfg = Config("cfg", default_value={"times": 2, "retry": {"delay": 0}, "p": {"a": 3, "t": "h"},
                                       "names": ["x"], "file": "data.txt"})
    depth = cfg.p.a
    a = Parameter("a", default=cfg.p.a, help=cfg.p.t)
    b = Parameter("b", default=[cfg.p.a, config_expr("cfg.p.a + one")])
    c = Parameter("c", default=cfg.p)
    d = Parameter("d", type=int, default=lambda context: context.configs["cfg"].p.a)
    e = Parameter("e", default=cfg.names, multiple=True)
    f = IncludeFile("f", default=cfg.file)
    @step
    def start(self):
        self.seen = (self.a, self.b, self.c, self.d, self.e, self.f, self.depth)
        self.next(self.end)
    @step
    def end(self):
        pass
""",
            HEAD + "one = 1\n",
        ).replace(STEPS, "")
        flowtester.write("text", "data.txt")
        outcome = flowtester.run(source)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("start", "seen") == (
            3, [3, 4], {"a": 3, "t": "h"}, 3, ("x",), "text", 3,
        )  # fmt: skip
        more = {"p": {"a": 7, "t": "h"}, "names": [], "file": "data.txt"}
        outcome = flowtester.run(source, configs={"cfg": more})
        assert outcome.artifact("start", "seen")[:2] == (7, [7, 8])

    def test_in_options_of_decorators(self, flowtester):
        body = """
    cfg = Config("cfg", default_value={"retry": {"times": 4}, "t": {"times": 5}})
    @retry(**cfg.retry)
    @step
    def one(self):
        pass
    @retry(times=cfg.t.times)
    @step
    def two(self):
        pass
    @retry(times=config_expr("cfg.t.times").real)
    @step
    def three(self):
        pass
"""
        cls = flowtester.load(flow(body, HEAD + "from flow_core import retry\n"))
        definition = flowtester.session(cls, plugins=["retry"]).definition
        assert [definition.steps[n].options("retry").times for n in ("one", "two", "three")] == [
            4, 5, 5,
        ]  # fmt: skip

    def test_values_that_are_not_there_or_wrong(self, flowtester):
        body = """
    cfg = Config("cfg", default_value={"model": {"depth": 3}, "times": "many"})
    none = Config("none")
    a = Parameter("a", default=cfg.model.dpeth)
    b = Parameter("b", default=config_expr("cfg.model.depth / 0"))
    c = Parameter("c", default=none.x)
    d = Parameter("d", type=int, default=cfg.times)
    @retry(times=cfg.times)
    @step
    def one(self):
        pass
    @retry(**cfg.times)
    @step
    def two(self):
        pass
"""
        cls = flowtester.load(flow(body, HEAD + "from flow_core import retry\n"))
        with pytest.raises(LintError) as caught:
            flowtester.session(cls, plugins=["retry"]).definition
        text = str(caught.value)
        file = flowtester.path / "flow.py"
        for part in (
            f"{file}:7: Parameter 'a': 'cfg.model.dpeth' has no value: The configuration has no 'dpeth' here (did",
            "'cfg.model.depth / 0' has no value: ZeroDivisionError: division by zero",
            f"{file}:9: Parameter 'c': 'none.x' has no value: the configuration 'none' has no value",
            f"{file}:10: The default of parameter 'd' does not fit its type",
            f"{file}:11: @retry: Option 'times' must be",
            "'**cfg.times' unpacks no section: it is 'many'",
        ):
            assert part in text, text

    def test_config_expr_must_be_an_expression(self):
        with pytest.raises(DefinitionError) as caught:
            config_expr("a +")
        assert caught.value.what == "config_expr('a +') is no Python expression"
        assert caught.value.where.startswith(__file__)

    def test_class_attributes(self):
        class F(FlowSpec):
            cfg = Config("cfg")
            depth = cfg.depth

        assert isinstance(F.cfg, Config)
        assert isinstance(F.depth, Delayed)


class TestInSteps:
    def test_read_only(self, flowtester):
        outcome = flowtester.run(
            flow(
                """
    cfg = Config("cfg", default_value={"a": 1})
    @step
    def start(self):
        self.errors = []
        for name in ("cfg",):
            try:
                setattr(self, name, 1)
            except AttributeError as error:
                self.errors.append(str(error))
            try:
                delattr(self, name)
            except AttributeError as error:
                self.errors.append(str(error))
        self.next(self.end)
    @step
    def end(self):
        self.seen = self.cfg
"""
            ).replace(STEPS, "")
        )
        assert outcome.error is None
        changed, deleted = outcome.artifact("start", "errors")
        assert changed == (
            "The configuration 'cfg' cannot be changed: configurations are read-only. "
            "Assign to another name, for example self.my_cfg."
        )
        assert deleted == "The configuration 'cfg' cannot be deleted: it is read-only."
        assert outcome.artifact("end", "seen") == {"a": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class TestOtherProcesses:
    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.text(string.ascii_letters, min_size=1),
            json_values
            | st.dates()
            | st.tuples(st.integers())
            | st.dictionaries(st.integers() | st.text(), st.dates() | st.integers())
            | st.binary(),
        )
    )
    def test_values_come_back(self, values):
        wrapped = {
            n: ConfigValue(v) if isinstance(v, dict) and all(isinstance(k, str) for k in v) else v
            for n, v in values.items()
        }
        found = decode_values(json.loads(json.dumps(encode_values(wrapped))))
        assert repr(found) == repr(wrapped)

    def test_a_value_that_cannot_be_stored(self):
        with pytest.raises(UsageError) as caught:
            encode_values({"cfg": (n for n in "ab")})
        assert caught.value.what == "Config 'cfg' has a value that cannot be stored with the run"
        assert "generator" in caught.value.why

    @given(st.lists(st.sampled_from(["run", "--alpha", "--config-value=a", "3", "x y"])))
    def test_other_arguments_are_left_alone(self, words):
        words = [w for w in words if not w.startswith("--config")]
        given = ["--config", "a", "f", *words, "--config-value", "b", "{}", "--", "--config"]
        assert split_arguments(given) == (
            [*words, "--", "--config"], [("a", "f")], [("b", "{}")],
        )  # fmt: skip

    @pytest.mark.parametrize(
        "arguments",
        [["--config"], ["--config", "a"], ["--config-value", "--x", "y"], ["--config=a"]],
    )
    def test_incomplete_arguments(self, arguments):
        with pytest.raises(UsageError, match="needs a name and a") as caught:
            split_arguments(arguments)
        assert caught.value.where == " ".join(arguments).replace("=", " ")

    def test_a_flow_without_configurations_imports_nothing_of_this(self):
        code = (
            "from flow_core import FlowSpec, step, Parameter, IncludeFile\n"
            "import flow_core.session, flow_core.cli, flow_core.task, flow_core.run, sys\n"
            "print([m for m in sys.modules if m.rpartition('.')[2] in"
            " ('config', 'parsers', 'mutators', 'user_decorators')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.stdout == "[]\n", done.stderr

    def test_a_parameter_may_be_called_config_there(self):
        class F(FlowSpec):
            config = Parameter("config")

        assert F.config.problems == []
