"""The providers inline, env and file: the suite, and what is theirs alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.api import NotFound, SecretSource, Settings, UsageError
from flow_core.testing import SecretsCase, SecretsSuite
from flow_secrets.providers import EnvironmentSecrets, FileSecrets, InlineSecrets, read_dotenv

SECRET = {"TOKEN": "hunter22!"}


class TestInline(SecretsSuite):
    @pytest.fixture
    def secrets(self):
        known = SecretSource("inline", "", {"env_vars": SECRET})
        return SecretsCase(InlineSecrets(Settings({})), known, SECRET, SecretSource("inline"))


class TestEnvironment(SecretsSuite):
    @pytest.fixture
    def provider(self, monkeypatch):
        monkeypatch.setenv("TOKEN", SECRET["TOKEN"])
        monkeypatch.setenv("DB_USER", "ada")
        monkeypatch.setenv("DB_PASSWORD", "love1815")
        return EnvironmentSecrets(Settings({}))

    @pytest.fixture
    def secrets(self, provider):
        known, missing = SecretSource("env", "TOKEN"), SecretSource("env", "TOKN")
        return SecretsCase(provider, known, SECRET, missing)

    def test_a_near_miss(self, secrets):
        with pytest.raises(NotFound) as caught:
            secrets.provider.fetch(secrets.missing)
        assert caught.value.hint == "did you mean 'TOKEN'?"

    def test_several(self, provider):
        found = provider.fetch(SecretSource("env", "DB_*"))
        assert found == {"DB_USER": "ada", "DB_PASSWORD": "love1815"}
        with pytest.raises(NotFound):
            provider.fetch(SecretSource("env", "NOTHING_LIKE_*"))

    def test_another_name(self, provider):
        source = SecretSource("env", "TOKEN", {"env_var_name": "API_KEY"})
        assert provider.fetch(source) == {"API_KEY": SECRET["TOKEN"]}


class TestFile(SecretsSuite):
    @pytest.fixture
    def provider(self):
        return FileSecrets(Settings({}))

    @pytest.fixture(params=["dotenv", "json"])
    def secrets(self, request, provider, tmp_path):
        if request.param == "json":
            file, text = tmp_path / "secrets.json", json.dumps(SECRET)
        else:
            file, text = tmp_path / ".env", "# the token\nTOKEN=hunter22!\n"
        file.write_text(text)
        missing = SecretSource("file", str(tmp_path / "none"))
        return SecretsCase(provider, SecretSource("file", str(file)), SECRET, missing)

    def test_the_format_can_be_said(self, provider, tmp_path):
        file = tmp_path / "file"
        file.write_text('{"A": 1, "B": [1], "C": "x"}')
        source = SecretSource("file", str(file), {"format": "json"})
        assert provider.fetch(source) == {"A": "1", "B": "[1]", "C": "x"}
        with pytest.raises(UsageError, match="there is no format 'toml'"):
            provider.fetch(source._replace(options={"format": "toml"}))

    @pytest.mark.parametrize(
        ("name", "text", "why"),
        [
            ("a.json", '{"A": "hush"', "it is not JSON (line 1)"),
            ("a.json", '["hush"]', "it is a JSON list, not an object"),
            ("a.env", "A=1\nhush\n", "line 2 is not of the form NAME=value"),
            ("a.env", 'A="hush\n', "line 1 is not of the form NAME=value"),
        ],
    )
    def test_what_is_wrong_with_a_file_is_said_without_it(
        self, provider, tmp_path, name, text, why
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError) as caught:
            provider.fetch(SecretSource("file", str(tmp_path / name)))
        assert caught.value.what == why
        assert "hush" not in str(caught.value)


def test_dotenv():
    text = """
        # comment
        A=1
        export B = two words
        C='single # no comment'   # a comment
        D="double \\"quoted\\"\\n\\tnext"
        E=
        F=value # comment
        G=value#not-a-comment
        H="several
lines"
        A=again
    """
    assert dict(read_dotenv(text)) == {
        "A": "again",
        "B": "two words",
        "C": "single # no comment",
        "D": 'double "quoted"\n\tnext',
        "E": "",
        "F": "value",
        "G": "value#not-a-comment",
        "H": "several\nlines",
    }


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), st.text()))
def test_what_is_quoted_reads_back(variables):
    kept = {name: value.replace("\r\n", "\n") for name, value in variables.items()}
    lines = []
    for name, value in kept.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{quoted}"\n')
    assert dict(read_dotenv("".join(lines))) == kept
