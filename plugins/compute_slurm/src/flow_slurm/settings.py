"""The settings of this plugin: a default for each option of ``@slurm``, and how Slurm is spoken to.

Every session declares them, so nothing is imported here that takes time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.api import Settings

PREFIX = "slurm_"

DEFAULTS: dict[str, Any] = {
    "partition": "",
    "cpus": 1,
    "memory": 4000.0,
    "time": "",
    "gpus": "",
    "account": "",
    "qos": "",
    "constraint": "",
    "nodes": 0,
    "throttle": 0,
    "requeue": False,
    "environment": "",
    "setup": "",
    "extra": "",
}
"""The option of ``@slurm`` → what counts where nobody says anything. Empty, or 0 = the cluster's."""

_SEPARATORS = {"setup": "\n", "extra": " "}
_MINIMA = {"cpus": 1, "memory": 0, "nodes": 0, "throttle": 0}


def declare(settings: Settings) -> None:
    """Declare all settings."""
    for name, default in DEFAULTS.items():
        settings.declare(
            PREFIX + name,
            default,
            f"Default of the option {name} of @slurm.",
            minimum=_MINIMA.get(name),
            separator=_SEPARATORS.get(name, ","),
        )
    settings.declare(
        "slurm_folder",
        "",
        "Folder for scripts and logs of jobs, on a file system that all nodes see; "
        "default: slurm in the local store, or in .flow.",
    )
    settings.declare("slurm_poll", 5.0, "Seconds between looks at jobs, at most.", minimum=0.2)
