"""What people write: packages, versions of Python, ``environment.yml``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_conda import CondaOptions
from flow_conda.specs import (
    Spec,
    check_python,
    is_conda_lock,
    python_spec,
    read_environment_file,
    read_spec,
    read_specs,
)
from flow_core.api import DefinitionError, FlowError, NoEnvironment

_names = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,10}", fullmatch=True)
_versions = st.one_of(
    st.just(""),
    st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}(\.\*)?", fullmatch=True),
    st.from_regex(r">=[0-9]{1,2},<[0-9]{1,2}", fullmatch=True),
    st.from_regex(r"==[0-9]{1,2}\.[0-9] py3[0-9]{2}_[0-9]", fullmatch=True),
)
_channels = st.sampled_from(["", "conda-forge", "conda-forge/label/dev", "https://h.example:8/c"])


@given(name=_names, version=_versions, channel=_channels)
def test_a_spec_is_read_as_it_is_written(name: str, version: str, channel: str) -> None:
    spec = Spec(name, version, channel)
    assert read_spec(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "name", "version", "channel"),
    [
        ("pandas", "pandas", "", ""),
        ("Pandas>=2,<3", "pandas", ">=2,<3", ""),
        ("pandas=2.2", "pandas", "=2.2", ""),
        ("pandas[version='>=2']", "pandas", "[version='>=2']", ""),
        (" conda-forge::pandas  2.2.* ", "pandas", "2.2.*", "conda-forge"),
        ("file:///a/b::tiny", "tiny", "", "file:///a/b"),
    ],
)
def test_forms_that_conda_has(text: str, name: str, version: str, channel: str) -> None:
    assert read_spec(text) == Spec(name, version, channel)


@pytest.mark.parametrize("text", ["", "  ", "pan das; x", "a::", "::a", "pandas @ https://x/y"])
def test_what_is_no_package(text: str) -> None:
    with pytest.raises(DefinitionError, match="is no package for conda") as caught:
        read_spec(text)
    assert "'pandas 2.2.*'" in str(caught.value.hint)


@pytest.mark.parametrize(
    "channel", ["https://ada:secret@h/c", "https://token@h/c", "https://h.example/t/tok-1/c"]
)
def test_passwords_do_not_belong_into_flows(channel: str) -> None:
    file = f"channels: ['{channel}']"
    for attempt in (
        lambda: read_spec(f"{channel}::pandas"),
        lambda: CondaOptions(channels=[channel]),
        lambda: read_environment_file(file, "e.yml"),
    ):
        with pytest.raises(FlowError) as caught:
            attempt()
        assert "A password does not belong into the flow" in str(caught.value)
        assert "tok" not in str(caught.value).replace("token", "")
        assert "secret" not in str(caught.value)


def test_names_with_versions_and_lists_mean_the_same() -> None:
    assert read_specs({"pandas": "2.2.*", "conda-forge::numpy": ">=2", "six": "*"}) == read_specs(
        ["six", "pandas 2.2.*", "conda-forge::numpy >=2"]
    )


def test_one_package_twice() -> None:
    with pytest.raises(DefinitionError, match="'pandas' is asked for twice") as caught:
        read_specs(["pandas >=2", "conda-forge::Pandas"])
    assert caught.value.why == "'pandas >=2' and 'conda-forge::pandas'"


def test_versions_of_python() -> None:
    texts = [python_spec(v).text for v in ("3.12", "3.12.1", "3", ">=3.11,<3.13", "3.12.*")]
    assert texts == [
        "python 3.12.*",
        "python 3.12.1",
        "python 3.*",
        "python >=3.11,<3.13",
        "python 3.12.*",
    ]
    for good in ("", "3.12", "3.12.1", ">=3.11"):
        check_python(good)
    for bad in ("python3", "2.7", "three"):
        with pytest.raises(DefinitionError, match=r"must be a version like '3\.12'"):
            check_python(bad)


class TestEnvironmentFile:
    def test_what_it_says(self) -> None:
        found = read_environment_file(
            """
            name: mine
            prefix: /home/ada/envs/mine
            channels: [conda-forge, bioconda, nodefaults]
            dependencies:
              - python=3.12
              - pandas >=2
              - pip
              - pip: [requests==2.*, "rich[x]>=13"]
            """,
            "environment.yml",
        )
        assert found.channels == ("conda-forge", "bioconda")
        assert [s.text for s in found.packages.values()] == ["python =3.12", "pandas >=2"]
        assert found.pip == ("requests==2.*", "rich[x]>=13")

    def test_empty(self) -> None:
        assert read_environment_file("", "e.yml") == ({}, (), ())

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("dependencies: {a: 1}", "'dependencies' is no list"),
            ("- a", "it is no mapping with 'dependencies'"),
            ("dependencis: [a]", "'dependencis' is not known here"),
            ("dependencies: [{pip: a}]", "'pip' is no list"),
            ("dependencies: [3]", "3 is neither a package nor 'pip:' with requirements"),
            ("dependencies: [{pip: ['-r x.txt']}]", "'-r x.txt' is an option of pip"),
            ("dependencies: ['a; b']", "'a; b' is no package for conda"),
            ("channels: [1]", "1 in 'channels' is no text"),
            ("a: [", "it is no YAML: while parsing"),
        ],
    )
    def test_what_is_none(self, text: str, why: str) -> None:
        with pytest.raises(NoEnvironment, match=r"'e\.yml' is no environment of conda") as caught:
            read_environment_file(text, "e.yml")
        assert why in str(caught.value.why)

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("dependencis: [a]", "did you mean 'dependencies'?"),
            ("variables: {A: b}", "leave it out; variables of a step: @environment(vars={…})"),
            ("platforms: [a]", "leave it out; keys are name, channels, dependencies, prefix"),
            ("dependencies: [{pip: ['-r x.txt']}]", "write the requirements themselves; or beside"),
            ("dependencies: [3]", "it has 'channels:' and 'dependencies:', lists of names"),
        ],
    )
    def test_what_to_do_about_it(self, text: str, hint: str) -> None:
        with pytest.raises(NoEnvironment) as caught:
            read_environment_file(text, "e.yml")
        assert str(caught.value.hint).startswith(hint)

    def test_a_lock_is_told_from_it(self) -> None:
        assert is_conda_lock("# made\nversion: 1\nmetadata:\n  x: 1\npackage:\n- name: a\n")
        assert not is_conda_lock("name: x\ndependencies:\n- version\n- package\n")
