"""YAML as configurations and included files: what becomes of it, and what is refused."""

import datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flow_yaml.parser import load

# PyYAML writes a key that is one of the rare line ends of Unicode so that it reads a space.
texts = st.text(st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)


@given(values)
def test_what_was_written_is_read(value):
    assert load(yaml.safe_dump(value, allow_unicode=True)) == value


def test_merged_keys_and_dates():
    text = "base: &b {a: 1}\nmore:\n  <<: *b\n  day: 1979-05-27\n"
    assert load(text)["more"] == {"a": 1, "day": datetime.date(1979, 5, 27)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", "the key 'a' is there twice"),
        ("a: [1", "line 1"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        load(text)


def test_in_a_flow(flowtester):
    flowtester.write("depth: 3\nnames: [a, b]\n", "settings.yaml")
    flowtester.more_plugins.append("yaml")
    file = flowtester.write(
        """
        from flow_core import Config, FlowSpec, IncludeFile, Parameter, step

        class F(FlowSpec):
            settings = Config("settings", default="settings.yaml")
            text = IncludeFile("text", default="settings.yaml", parser="yaml")
            depth = Parameter("depth", default=settings.depth)

            @step
            def start(self):
                self.seen = (self.settings.names, self.text["depth"], self.depth)
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    flowtester.python(file, "run").check()
    assert flowtester.left().artifact("start", "seen") == (["a", "b"], 3, 3)
    flowtester.write("depth: [", "settings.yaml")
    refused = flowtester.python(file, "run")
    assert refused.returncode == 2
    assert refused.error["error"] == "Config 'settings' cannot be parsed by 'yaml'"
    assert refused.error["where"].endswith("settings.yaml")


def test_without_the_plugin(flowtester):
    flowtester.write("depth: 3", "settings.yaml")
    file = flowtester.write(
        """
        from flow_core import Config, FlowSpec, step

        class F(FlowSpec):
            settings = Config("settings", default="settings.yaml")

            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    refused = flowtester.python(file, "show")
    assert refused.returncode == 2
    assert "yaml" in refused.error["error"]
