"""The order of hooks: all wishes come true, or the ring of those that cannot is named."""

import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.hook_order import Ring, Wish, call_order
from flow_core.hookspecs import hookimpl
from flow_core.index import PluginIndex
from flow_core.plugins import KernelHooks, Plugins
from flow_core.settings import Settings

NAMES = st.sampled_from("abcdefgh")
WISHES = st.dictionaries(
    NAMES, st.builds(Wish, st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3))
)


def comes_before(wishes, first, second):
    return second in wishes[first].before or first in wishes[second].after


@given(WISHES)
def test_all_wishes_come_true_or_there_is_a_ring(wishes):
    try:
        order = call_order(wishes)
    except Ring as ring:
        names = ring.names
        assert len(names) > 1
        for first, second in zip(names, [*names[1:], names[0]], strict=True):
            assert comes_before(wishes, first, second)
        return
    assert sorted(order) == sorted(wishes)
    for first in order:
        for second in wishes:
            if first != second and comes_before(wishes, first, second):
                assert order.index(first) < order.index(second)


@given(WISHES, st.randoms())
def test_the_order_depends_on_names_alone(wishes, random):
    shuffled = [*wishes.items()]
    random.shuffle(shuffled)

    def result(table):
        try:
            return call_order(table)
        except Ring as ring:
            return ring.names

    assert result(wishes) == result(dict(shuffled))


def test_who_waits_behind_a_ring_is_not_in_it():
    wishes = {"a": Wish(after=("b",)), "b": Wish(after=("c",)), "c": Wish(after=("b",))}
    with pytest.raises(Ring) as caught:
        call_order(wishes)
    assert caught.value.names == ("b", "c")


def module(name, **hooks):
    made = types.ModuleType(name)
    for hook, options in hooks.items():

        def function(session):
            yield

        function.__name__ = hook
        setattr(made, hook, hookimpl(**options)(function))
    return made


def test_each_hook_is_ordered_by_itself():
    first = module("a", flow_session_started={"before": ["b"]}, flow_session_finished={})
    second = module("b", flow_session_started={}, flow_session_finished={"before": ["a"]})
    plugins = Plugins(PluginIndex([]), [first, second])
    assert plugins.broken == {}
    order = {
        hook: [place.plugin for place in plugins.manager.places(hook)]
        for hook in ("flow_session_started", "flow_session_finished")
    }
    assert order == {"flow_session_started": ["a", "b"], "flow_session_finished": ["b", "a"]}


def test_the_reason_of_each_place():
    plugins = Plugins(
        PluginIndex([]),
        [
            module("late", flow_session_started={"after": ["zeal", "nobody"]}),
            module("zeal", flow_session_started={}),
            module("mid", flow_session_started={}),
            module("around", flow_session_started={"wrapper": True}),
        ],
    )
    assert [tuple(place[:3]) for place in plugins.manager.places("flow_session_started")] == [
        ("around", True, "wraps those below"),
        ("mid", False, "by name"),
        ("zeal", False, "before late: the wish of late"),
        ("late", False, "after zeal: its own wish"),
    ]
    (place, *_) = plugins.manager.places("flow_session_started")
    assert place.where.startswith(f"{__file__}:")


def test_the_budget_of_each_place():
    made = [
        module("patient", flow_session_started={"budget": None}),
        module("slow", flow_session_started={"budget": 90}),
        module("usual", flow_session_started={}),
    ]
    plugins = Plugins(PluginIndex([]), made, Settings({"FLOW_HOOK_BUDGET": "4"}))
    places = plugins.manager.places("flow_session_started")
    assert [place.budget for place in places] == [None, 90, 4]
    (place,) = Plugins(PluginIndex([]), [KernelHooks()]).manager.places("flow_task_call")
    assert place.budget is None
