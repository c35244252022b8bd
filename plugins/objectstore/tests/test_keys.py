"""Keys as services take them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.testing.store_suite import ODD_KEYS
from flow_objectstore.keys import escape, unescape


@given(st.text(st.sampled_from("%25CF7 01aA\\\n\x7fä/") | st.characters(codec="utf-8")))
def test_every_key_comes_back(key):
    escaped = escape(key)
    assert unescape(escaped) == key
    assert not {sign for sign in escaped if ord(sign) < 32 or sign in "\x7f\\"}


@given(st.text(), st.text())
def test_two_keys_stay_two(one, other):
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize("key", ["a/b", "100%", "%2F%zz", "größe/ ä+&=?#", "a%2 5"])
def test_what_services_take_stays(key):
    assert escape(key) == key


def test_what_they_do_not_take():
    assert escape("a\nb\\c\x7f") == "a%0Ab%5Cc%7F"
    assert escape("%0A") == "%250A"
    assert escape("%00/%2F") == "%2500/%2F"
    assert [unescape(escape(key)) for key in ODD_KEYS] == ODD_KEYS
