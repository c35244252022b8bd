"""``@pypi`` and ``@pypi_base``: what they take, how they are put together, what the plan says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flow_core.api import DefinitionError, NoEnvironment
from flow_core.testing import FlowTester
from flow_pypi.decorators import PypiOptions, asked, merged
from flow_pypi.wanted import listed, name_of, read_requirements

FLOW = """
from flow_core import FlowSpec, pypi, pypi_base, step

@pypi_base(packages={"a": "1.0", "b": ">=2"}, python="3.12", index_url="https://one.example/simple")
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.other)

    @pypi(packages=["B<2", "c[x]"], python="3.11", pyproject="app/pyproject.toml")
    @step
    def other(self):
        self.next(self.off)

    @pypi(disabled=True)
    @step
    def off(self):
        self.next(self.end)

    @pypi
    @step
    def end(self):
        pass
"""


def plans(flowtester: FlowTester, source: str, environment: str = "") -> Any:
    settings = {"environment": environment} if environment else {}
    return flowtester.session(flowtester.load(source), ["pypi"], settings=settings).plans


class TestPlan:
    def test_values_of_a_step_stand_for_those_of_the_flow(self, flowtester: FlowTester) -> None:
        flowtester.write("", "app/uv.lock")
        found = plans(flowtester, FLOW)
        base = {"python": "3.12", "index_url": "https://one.example/simple"}
        assert found["start"].environment == "pypi"
        assert found["start"].environment_options == {"packages": ["a==1.0", "b>=2"], **base}
        assert found["end"].environment_options == found["start"].environment_options
        assert found["other"].environment_options == {
            "packages": ["B<2", "a==1.0", "c[x]"],
            **base,
            "python": "3.11",
            "pyproject": "app/pyproject.toml",
        }
        assert found["other"].environment_files == ("app/pyproject.toml", "app/uv.lock")
        assert found["off"].environment is None

    @pytest.mark.parametrize(
        ("base", "step", "environment"),
        [(True, None, None), (True, False, "pypi"), (False, True, None), (None, None, "pypi")],
    )
    def test_disabled_of_the_step_counts_before_that_of_the_flow(
        self, flowtester: FlowTester, base: Any, step: Any, environment: Any
    ) -> None:
        source = f"""
            from flow_core import FlowSpec, pypi, pypi_base, step

            @pypi_base(disabled={base})
            class F(FlowSpec):
                @pypi(disabled={step})
                @step
                def start(self):
                    self.next(self.end)

                @step
                def end(self):
                    pass
        """
        assert plans(flowtester, source)["start"].environment == environment

    def test_the_setting_is_for_steps_that_do_not_switch_it_off(
        self, flowtester: FlowTester
    ) -> None:
        source = FLOW.replace("@pypi_base", "# ")
        found = plans(flowtester, source, "pypi")
        assert (found["start"].environment, found["start"].environment_options) == ("pypi", {})
        assert found["off"].environment is None
        assert plans(flowtester, source, "local")["other"].environment is None


class TestOptions:
    def test_packages_by_name(self) -> None:
        assert listed(
            {
                "a": "1.0",
                "b": "2.2.*",
                "c": "",
                "d": "*",
                "e": ">=2,<3",
                "f[x,y]": "~=1.4",
                "g": "@ git+https://h.example/g@main",
                "h": "git+https://h.example/h",
                "i": "@https://h.example/i-1.0-py3-none-any.whl",
                "git+https://h.example/j.git": "@v1",
                "k": "==1.0; python_version < '3.12'",
            }
        ) == [
            "a==1.0",
            "b==2.2.*",
            "c",
            "d",
            "e>=2,<3",
            "f[x,y]~=1.4",
            "g @ git+https://h.example/g@main",
            "h @ git+https://h.example/h",
            "i @ https://h.example/i-1.0-py3-none-any.whl",
            "git+https://h.example/j.git@v1",
            "k==1.0; python_version < '3.12'",
        ]

    def test_names_are_compared_in_their_normal_form(self) -> None:
        assert name_of("Ruamel_Yaml[x]>=1") == "ruamel-yaml"
        together = merged(
            PypiOptions(packages=["ruamel.yaml<1"]), PypiOptions(packages={"Ruamel_YAML": "2"})
        )
        assert asked(together) == {"packages": ["ruamel.yaml<1"]}

    @pytest.mark.parametrize("text", ["-r other.txt", "a b", "a==", "a=1", "", "a>=1,,"])
    def test_what_is_no_requirement(self, text: str) -> None:
        with pytest.raises(DefinitionError, match="is no requirement") as caught:
            PypiOptions(packages=[text])
        assert "packages={'pandas': '2.2.*'}" in str(caught.value.hint)

    @pytest.mark.parametrize("version", ["3", "3.x", ">=3.10", "2.7"])
    def test_a_version_of_python_that_is_none(self, version: str) -> None:
        with pytest.raises(DefinitionError, match=r"must be a version like '3\.12'"):
            PypiOptions(python=version)

    @pytest.mark.parametrize(
        "options",
        [
            {"index_url": "https://bob:s3cret@one.example/simple"},
            {"extra_index_urls": ["https://bob:s3cret@one.example/simple"]},
            {"packages": {"a": "@ git+https://bob:s3cret@one.example/a"}},
            {"packages": {"a": "git+https://bob:s3cret@one.example/a"}},
            {"index_url": "https://s3cret@one.example/simple"},
        ],
    )
    def test_passwords_are_refused_and_not_shown(self, options: Any) -> None:
        with pytest.raises(
            DefinitionError, match="A password does not belong into the flow"
        ) as caught:
            PypiOptions(**options)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("packages", [{"six": "banana"}, {"python": "-dateutil"}])
    def test_a_version_does_not_make_another_name(self, packages: Any) -> None:
        with pytest.raises(DefinitionError, match="is no version of"):
            PypiOptions(packages=packages)

    def test_a_python_that_is_too_old_for_tasks(self) -> None:
        with pytest.raises(DefinitionError, match=r"Tasks do not run in Python 3\.9"):
            PypiOptions(python="3.9")

    def test_several_requirements_of_one_name_stay(self) -> None:
        both = ["six==1.16.0; python_version>='3.11'", "six==1.15.0; python_version<'3.11'"]
        base = PypiOptions(packages=both)
        assert asked(merged(PypiOptions(packages=["a"]), base))["packages"] == ["a", *sorted(both)]
        assert asked(merged(PypiOptions(packages=["six"]), base)) == {"packages": ["six"]}


class TestRequirementsFile:
    def test_passwords_are_refused(self) -> None:
        for line in ("-i https://bob:s3cret@h.example/s", "a @ git+https://s3cret@h.example/a"):
            with pytest.raises(DefinitionError, match="A password does not belong"):
                read_requirements(line, "r.txt")

    def test_lines_options_and_hashes(self) -> None:
        found = read_requirements(
            "# ours\n"
            "--index-url https://one.example/simple\n"
            "--extra-index-url=https://two.example/simple\n"
            "-f wheels\n\n"
            "a==1.0 \\\n"
            f"    --hash=sha256:{'1' * 64} \\\n"
            f"    --hash=sha256:{'2' * 64}\n"
            "b>=2  # the new one\n"
            "c @ https://h.example/c.zip#egg=c ; python_version < '3.12'\n",
            "r.txt",
        )
        assert found.requirements == (
            "a==1.0",
            "b>=2",
            "c @ https://h.example/c.zip#egg=c ; python_version < '3.12'",
        )
        assert found.hashes == {"a": frozenset({"1" * 64, "2" * 64})}
        assert found.index_url == "https://one.example/simple"
        assert found.extra_index_urls == ("https://two.example/simple",)
        assert found.links == ("wheels",)

    @pytest.mark.parametrize(
        ("line", "hint"), [("--pre", "leave it out"), ("-e .", "make a wheel of the folder")]
    )
    def test_other_options_are_refused(self, line: str, hint: str) -> None:
        with pytest.raises(NoEnvironment, match=f"not understood: {line}") as caught:
            read_requirements(f"a\n\n{line}\n", "r.txt")
        assert caught.value.where == "r.txt:3"
        assert str(caught.value.hint).startswith(hint)

    def test_files_that_it_includes(self) -> None:
        files = {
            "reqs/more.txt": "b\n-r ../reqs/all.txt  # a ring\n-c limits.txt\n-f wheels\n",
            "reqs/limits.txt": f"a<2 --hash=sha256:{'1' * 64}\n--requirement=others.txt\n",
            "reqs/others.txt": "c<3\n",
        }
        found = read_requirements("a\n-r more.txt\n-c limits.txt\nd\n", "reqs/all.txt", files)
        assert found.requirements == ("a", "b", "d")
        assert found.constraints == ("a<2", "c<3")
        assert found.links == ("wheels",)
        assert found.hashes == {"a": frozenset({"1" * 64})}
        with pytest.raises(NoEnvironment) as caught:
            read_requirements("a\n-r more.txt\n", "reqs/all.txt", {})
        assert str(caught.value) == (
            "The file 'reqs/more.txt' cannot be read, which the requirements file includes\n"
            "  where: reqs/all.txt:2\n"
            "  why:   there is no such file: its path is relative to the file that includes it\n"
            "  try:   correct the path, or put what it includes into the file"
        )

    def test_what_they_say_counts(self, flowtester: FlowTester) -> None:
        flowtester.write("-r more.txt\n-c absent.txt\n", "reqs/all.txt")
        flowtester.write("a\n-c ../limits.txt\n-r all.txt\n", "reqs/more.txt")
        flowtester.write("a<2\n", "limits.txt")
        source = FLOW.replace('pyproject="app/pyproject.toml"', 'requirements="reqs/all.txt"')
        found = plans(flowtester, source)["other"].environment_files
        assert found == ("limits.txt", "reqs/absent.txt", "reqs/all.txt", "reqs/more.txt")

    def test_constraints_hold(self, builder: Any, ask: Any) -> None:
        files = {"r.txt": "tiny\n-c limits.txt\n", "limits.txt": "tiny<2\nneedy<1\n"}
        lock = builder().resolve(ask(requirements="r.txt", files=files))
        assert "tiny-1.0" in lock.text
        assert "needy" not in lock.text

    def test_it_is_part_of_what_is_asked(self, builder: Any, ask: Any, wheels: Path) -> None:
        request = ask("tiny<2", requirements="r.txt", files={"r.txt": f"clash\n-f {wheels}\n"})
        lock = builder().resolve(request)
        assert "clash-1.0" in lock.text
        assert "tiny-1.0" in lock.text
