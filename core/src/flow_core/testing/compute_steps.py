"""What the attempts of `ComputeSuite` do: small functions, found by the name of the step.

They are apart from the suite, so that a process of a task needs no pytest to run them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from flow_core.index import installed
from flow_core.plan import TaskPlan
from flow_core.records import TaskSpec
from flow_core.travel import Luggage, pack

Step = Callable[[TaskSpec], int]


class StepsRuntime:
    """A `Runtime` whose attempts call a function of a module, instead of a step of a flow.

    Args:
        module: the module; the function has the name of the step and returns the exit status.
        interactive: whether output is wanted while tasks run.
        settings: values of settings; None for all others.
        plans: plans of steps, by name; all others ask for nothing.
    """

    flow_name = "SuiteFlow"

    def __init__(
        self,
        module: str = __name__,
        *,
        interactive: bool = True,
        settings: Mapping[str, Any] | None = None,
        plans: Mapping[str, TaskPlan] | None = None,
    ) -> None:
        self.module = module
        self.interactive = interactive
        self.settings = dict(settings or {})
        self.plans = dict(plans or {})

    @property
    def document(self) -> dict[str, Any]:
        """JSON data from which `rebuild` makes an equal runtime in another process."""
        return {
            "rebuild": f"{__name__}:rebuild",
            "module": self.module,
            "settings": self.settings,
            "path": sys.path,
        }

    @property
    def elsewhere(self) -> dict[str, Any]:
        """The same: the module must be there on the other machine."""
        return self.document

    def elsewhere_settings(self) -> dict[str, str]:
        """There are none."""
        return {}

    def luggage(self, store_url: str) -> Luggage:
        """Return flow-core, all plugins, and what the store requires."""
        index = installed()
        return pack(index, {index.find_opener("flow.stores", store_url).distribution})

    def get_ready(self) -> None:
        """Nothing is needed."""

    def adopt_run(self, document: bytes) -> None:
        """There is no run."""

    def run_attempt(
        self,
        task: TaskSpec,
        begin: Callable[[], object] | None = None,
        committed: Callable[[bytes], object] | None = None,
    ) -> int:
        """Call the function named like the step. It commits nothing."""
        import importlib

        step: Step = getattr(importlib.import_module(self.module), task.step)
        if begin is not None:
            begin()
        return step(task) or 0

    def plan(self, step: str) -> TaskPlan:
        """Return the plan of a step; one that asks for nothing when none was given."""
        return self.plans.get(step) or TaskPlan(step, "suite")

    def setting(self, name: str) -> Any:
        """Return a setting's value; None when it is not set."""
        return self.settings.get(name)


def rebuild(document: Mapping[str, Any]) -> StepsRuntime:
    """Make the runtime that ``document`` describes."""
    sys.path[:] = document["path"]
    return StepsRuntime(document["module"], settings=document["settings"])


def nothing(task: TaskSpec) -> int:
    """Succeed."""
    return 0


def fail(task: TaskSpec) -> int:
    """Fail, as an attempt does that has committed a failure."""
    return 1


def raise_error(task: TaskSpec) -> int:
    """Fail with an exception that nobody handles."""
    raise ValueError("this is wrong")


def die_by_signal(task: TaskSpec) -> int:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def leave_early(task: TaskSpec) -> int:
    """End the process behind everybody's back."""
    os._exit(3)


def write_both(task: TaskSpec) -> int:
    """Write to both streams."""
    sys.stdout.write("to stdout\n")
    sys.stderr.write("to stderr\n")
    return 0


def write_below_python(task: TaskSpec) -> int:
    """Write as C code does, and let another program write."""
    os.write(1, b"from C\n")
    os.write(2, b"error from C\n")
    program = "import sys; print('from a child'); print('error from a child', file=sys.stderr)"
    subprocess.run([sys.executable, "-c", program], check=True)
    return 0


def write_in_order(task: TaskSpec) -> int:
    """Write many lines, by changing ways."""
    for number in range(200):
        sys.stdout.write(f"{number}\n")
        if number % 3 == 0:
            sys.stdout.flush()
            os.write(1, f"raw {number}\n".encode())
    return 0


def write_much(task: TaskSpec) -> int:
    """Write five megabytes."""
    line = "x" * 99 + "\n"
    for _ in range(500):
        sys.stdout.write(line * 100)
    return 0


def write_bytes(task: TaskSpec) -> int:
    """Write bytes that are no text, and no last line end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\x00\xff\xfe no end")
    sys.stdout.flush()
    return 0


def be_stubborn(task: TaskSpec) -> int:
    """Ignore the wish to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait_long(task)


def wait_long(task: TaskSpec) -> int:
    """Say ``ready`` and wait much longer than any test."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(300)
    return 0


def wait_a_moment(task: TaskSpec) -> int:
    """Say ``ready``, wait for some seconds, and say ``done``."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(3)
    sys.stdout.write("done\n")
    return 0


def tell_surroundings(task: TaskSpec) -> int:
    """Write the working folder and a variable."""
    sys.stdout.write(f"{os.getcwd()}\n{os.environ.get('SUITE_VARIABLE')}\n")
    return 0


def tell_task(task: TaskSpec) -> int:
    """Write what the task was told."""
    sys.stdout.write(f"{task.to_json()}\n")
    return 0


def tell_meeting_place(task: TaskSpec) -> int:
    """Print the variables by which the members of a gang find each other, as JSON."""
    names = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")
    sys.stdout.write(json.dumps({name: os.environ[name] for name in names}))
    return 0
