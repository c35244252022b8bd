"""Versions and conditions in requirements: as the packaging standards say, by their own library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from flow_core.index import satisfies
from flow_core.versions import compare, holds

numbers = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(
    lambda parts: ".".join(map(str, parts))
)
suffixes = st.sampled_from(
    ["", "", "a1", "b2", "rc1", "rc2", ".dev1", "a1.dev2", ".post1", "-1", "c3", ".post2.dev1"]
)
signs = st.sampled_from([">=", "<=", ">", "<", "==", "!=", "~="])


class TestAsThePackagingLibrarySays:
    @given(numbers, signs, numbers, suffixes)
    def test_ranges(self, version, sign, other, suffix):
        clause = f"{sign}{other}{suffix}"
        try:
            theirs = SpecifierSet(clause).contains(version, prereleases=True)
        except InvalidSpecifier:
            return  # "~=1": one number has no prefix
        assert satisfies(version, clause) is theirs

    @given(numbers, suffixes, numbers, suffixes)
    def test_versions_are_sorted(self, a, b, c, d):
        theirs = SpecifierSet(f"<={c}{d}").contains(f"{a}{b}", prereleases=True)
        assert compare(a + b, "<=", c + d) is theirs

    @pytest.mark.parametrize(
        "condition",
        [
            "python_version >= '3.10'",
            "python_version < '3.8' or python_version >= \"3.9\"",
            "(python_version < '3' or os_name == 'posix') and sys_platform != 'win32'",
            "python_version < '3' or os_name == 'posix' and sys_platform != 'win32'",
            "python_version in '3.10 3.11 3.12 3.13 3.14'",
            "python_version not in '2.7'",
            "python_version ~= '3.10'",
            "'3.10' <= python_version",
            "'linux' in sys_platform",
            "sys_platform in 'linux darwin'",
            "python_full_version >= '3.10.0rc1'",
            "implementation_name == 'cpython'",
            "platform_python_implementation != 'PyPy'",
            "platform_system == 'Linux' and platform_machine not in 'vax'",
            "implementation_version > '3'",
            "python_version == '3.*'",
        ],
    )
    def test_conditions(self, condition):
        assert holds(condition) is Marker(condition).evaluate()

    @pytest.mark.parametrize("condition", ["extra == 'x'", "python_version>'3' and extra=='x'"])
    def test_what_an_extra_asks_for_is_not_needed(self, condition):
        assert holds(condition) is False


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("moon == 'full'", "a condition asks for 'moon', which is not known"),
        ("python_version >= ", "a condition ends too early"),
        ("(os_name == 'nt'", "a condition lacks ')'"),
        (
            "os_name == 'nt' os_name",
            "'os_name == 'nt' os_name' is no condition: what is 'os_name'?",
        ),
        ("os_name ~= 'nt'", "a condition compares 'os_name' by '~='"),
        ("os_name == 'nt", "'os_name == 'nt' is no condition: what is ''nt'?"),
    ],
)
def test_what_is_no_condition(condition, why):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        holds(condition)
    assert str(caught.value) == why
