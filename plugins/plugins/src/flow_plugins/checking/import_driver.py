"""A program that imports modules and tells what that loads; `cost` starts it and reads the times.

It is run as a file, in an interpreter of its own with ``-X importtime``. Standard input: JSON with
``path`` (the folders in which modules are looked for), ``first`` (modules that are there anyway) and
``groups`` (lists of modules). Each group is imported in a fork, so that no group profits from what
another has loaded. Output: a line of JSON for each module; on standard error, between the lines of
the interpreter, a line ``begin GROUP MODULE`` before each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time


def main() -> None:
    """Do what the module says."""
    gc.disable()
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    for name in asked["first"]:
        importlib.import_module(name)
    for number, modules in enumerate(asked["groups"]):
        child = os.fork() if hasattr(os, "fork") else 0
        if child:
            os.waitpid(child, 0)
            continue
        _import_all(number, modules)
        if hasattr(os, "fork"):
            os._exit(0)


def _import_all(number: int, modules: list[str]) -> None:
    for name in modules:
        before = set(sys.modules)
        os.write(2, f"begin {number} {name}\n".encode())
        error = ""
        began = time.process_time()
        try:
            __import__(name)  # importlib.import_module would not be told of by the interpreter
        except BaseException as raised:  # whatever an import may raise
            error = f"{type(raised).__name__}: {raised}"
        took = (time.process_time() - began) * 1000
        os.write(2, b"end\n")
        loaded = sorted(set(sys.modules) - before)
        told = {"group": number, "module": name, "loaded": loaded, "error": error, "ms": took}
        os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
