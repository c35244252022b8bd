"""What sixty more plugins cost a command that needs none of them, and what a hook call costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import fleet
from harness import Bench, Figure, Tool, alternate, at_most, cpu, seconds, wall


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    crowd = fleet.make(bench.ours, bench.folder / "fleet")
    more = f"with {fleet.TOTAL} more plugins than the defaults"
    yield from _start(bench, crowd, f"`flow --help` {more}", _help)
    yield from _start(bench, crowd, f"`python f.py show` {more}", lambda t: _show(bench, t))
    found = bench.script(crowd, "hook_calls", fleet.LISTENER, str(bench.times(5000, 500)))
    assert found["implementations"] == fleet.LISTENERS, found
    yield Figure(
        "plugins",
        f"hook call over {fleet.LISTENERS} implementations, against a loop over them; CPU",
        f"{found['us']:.1f} µs",
        f"{found['plain_us']:.1f} µs (loop)",
        **at_most(found["us"], 50, "µs"),
    )


def _start(
    bench: Bench, crowd: Tool, what: str, command: Callable[[Tool], list[str]]
) -> Iterator[Figure]:
    """Run a command in both environments in turn."""
    with_all, defaults = alternate(
        bench.times(31, 3),
        lambda: bench.command(crowd, command(crowd)),
        lambda: bench.command(bench.ours, command(bench.ours)),
    )
    for name, value, target in (("wall", wall, 1.3), ("CPU", cpu, None)):
        ratio = value(with_all) / value(defaults)
        verdict = at_most(ratio, target) if target else {"ratio": f"{ratio:.2f} x"}
        yield Figure(
            "plugins",
            f"{what}, {name}",
            seconds(value(with_all)),
            f"{seconds(value(defaults))} (defaults)",
            **verdict,
        )


def _help(tool: Tool) -> list[str]:
    return [str(tool.venv / "bin" / "flow"), "--help"]


def _show(bench: Bench, tool: Tool) -> list[str]:
    return [*bench.flow(tool, "five"), "show"]
