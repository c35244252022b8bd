"""Hook modules that only runs need, known by their text: nothing else has to import them.

A company has dozens of plugins that listen to runs: notifiers, audits, metrics. To import them all
would cost ``flow show`` more than everything else that it does. So the file of an installed hook
module is read first, which is twenty times cheaper. If it defines nothing but hooks of runs and tasks,
it waits until the first of these is called. Whatever is not as clear as that is imported at once.
"""

from __future__ import annotations

import os
import sys

from flow_core.index import EntryPoint

BEFORE_RUNS = frozenset(
    [
        "flow_add_hooks",
        "flow_settings",
        "flow_session_started",
        "flow_session_finished",
        "flow_definition",
        "flow_check",
        "flow_plan_step",
        "flow_environment_requirements",
        "flow_package_files",
        "flow_run_options",
    ]
)
"""Hooks that commands call which run nothing."""

_EARLY = [name.encode() for name in sorted(BEFORE_RUNS)]
_UNCLEAR = (b"import *", b"globals(", b"setattr(", b"exec(", b"__getattr__", b"__dict__")
"""By these a module may have more than what its text says."""


def waits(entry: EntryPoint, known: frozenset[str]) -> bool:
    """Whether the hook module that ``entry`` names may wait until a hook of runs is called.

    Args:
        entry: of a distribution.
        known: the names of the kernel's hooks.
    """
    if ":" in entry.value or not entry.packaged or entry.value in sys.modules:
        return False
    source = _source(os.path.dirname(entry.location), entry.value)
    return source is not None and only_of_runs(source, known)


def only_of_runs(source: bytes, known: frozenset[str]) -> bool:
    """Whether a module with this text implements hooks of runs and tasks, and clearly no others."""
    if any(word in source for word in _EARLY) or any(word in source for word in _UNCLEAR):
        return False
    # No regular expression: compiling one costs as much as reading a dozen modules so.
    defined = [f"flow_{d[:60].partition(b'(')[0].decode(errors='replace')}" for d in
               source.split(b"\ndef flow_")[1:]]  # fmt: skip
    # Each mark belongs to one of these: none to a hook of a plugin's own, or to a misspelt one.
    return bool(defined) and source.count(b"@hookimpl") == len(defined) and known.issuperset(defined)


def _source(folder: str, module: str) -> bytes | None:
    """Return the text of a module that lies beside its distribution; None for all others: those of
    an editable installation, of an archive, or compiled."""
    path = os.path.join(folder, *module.split("."))
    for file in (f"{path}.py", os.path.join(path, "__init__.py")):
        try:
            with open(file, "rb", buffering=0) as opened:
                return opened.read()
        except OSError:
            continue
    return None
