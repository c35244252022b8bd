"""flow-metaflow: runs flows that are written for Metaflow, unchanged.

    python -m flow_metaflow old_flow.py run --alpha 3

In that process, its tasks and the Python processes that these start, ``import metaflow`` means
flow-core. Nothing of that name is installed. In a script or a notebook:

    import flow_metaflow

    flow_metaflow.install()
    from metaflow import Flow

Importing this package imports nothing else.
"""

from __future__ import annotations

VERSION = "2.19.38"
"""The version of Metaflow whose names and forms are offered."""


def install() -> None:
    """Let ``import metaflow`` mean flow-core from here on, in this process and its children.

    Settings in ``METAFLOW_*`` variables and in Metaflow's configuration files count from then on,
    where flow-core has a counterpart. Calling it again changes nothing. Since 0.1.

    Raises:
        ImportError: another ``metaflow`` has been imported already.
        SettingsError: a configuration file of Metaflow's is missing or cannot be read.
    """
    from flow_metaflow import environment, finder

    finder.install()
    environment.take_over()
