"""Calls a hook that many installed plugins implement, watched as in a run; prints µs per call."""

from __future__ import annotations

import json
import signal
import statistics
import sys
import time
from collections.abc import Callable

from flow_core.api import Event, Message, hookimpl
from flow_core.index import PluginIndex, installed
from flow_core.plugins import Plugins
from flow_core.settings import Settings

BATCHES = 15


class Probe:
    """Sees whether the watch over hooks that hang is on."""

    watched = False

    @hookimpl
    def flow_event(self, event: Event) -> None:
        self.watched = signal.getitimer(signal.ITIMER_REAL)[0] > 0


def main(prefix: str, calls: int) -> None:
    """Measure with the hook modules whose names begin with ``prefix``."""
    found = [e for e in installed().entry_points if e.name.startswith(prefix)]
    plugins = Plugins(PluginIndex(found), settings=Settings())
    plugins.require_sound()
    event = Message("hello")
    probe = Probe()
    plugins.manager.register(probe)
    plugins.hook.flow_event(event=event)
    plugins.manager.unregister(probe)
    assert probe.watched, "the calls are not watched"
    functions = [i.function for i in plugins.hook.flow_event.get_hookimpls()]

    def plain() -> None:
        for function in functions:
            function(event)

    hook = plugins.hook.flow_event
    pairs = [(_us(lambda: hook(event=event), calls), _us(plain, calls)) for _ in range(BATCHES)]
    called, floor = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(json.dumps({"implementations": len(functions), "us": called, "plain_us": floor}))


def _us(call: Callable[[], object], calls: int) -> float:
    """Return the CPU time of one call in µs."""
    begin = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - begin) / calls * 1e6


main(sys.argv[1], int(sys.argv[2]))
