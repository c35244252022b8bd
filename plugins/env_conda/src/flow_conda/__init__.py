"""flow-conda: steps with packages of their own, in conda environments (``@conda``, ``@conda_base``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow_conda.specs import check_channel, check_python, read_specs
from flow_core.api import (
    FlowDecorator,
    Options,
    RemovedInFlow2,
    StepDecorator,
    deprecated,
    option,
)


@dataclass(frozen=True)
class CondaOptions(Options):
    """Run a step in a conda environment with these packages, and no others.

    What is installed is solved for the platform of the step when the run starts, and recorded with
    it. What ``@conda_base`` says counts as far as the step does not say otherwise. Since 0.1.
    """

    packages: Mapping[str, str] | Sequence[str] = option(
        {},
        "Name → version, {'pandas': '2.2.*'}, or a list as conda takes it: ['pandas >=2,<3']. A name may "
        "have a channel: 'conda-forge::pandas'.",
        deprecated=deprecated(RemovedInFlow2, since="0.1", name="libraries"),
    )
    python: str = option("", "Version of Python, '3.12'; default: that of the launcher.")
    channels: Sequence[str] = option(
        (), "Names, URLs or folders, the first one first; default: the setting conda_channels."
    )
    environment: str = option(
        "",
        "An environment.yml, relative to the flow's file: its channels and dependencies; or a "
        "conda-lock.yml: what it has locked.",
    )
    disabled: bool | None = option(
        None, "True: the launcher's Python after all; None: as @conda_base says."
    )

    def validate(self) -> None:
        """Refuse what conda would not understand."""
        read_specs(self.packages)
        check_python(self.python)
        for channel in self.channels:
            check_channel(channel)


@dataclass(frozen=True)
class CondaBaseOptions(CondaOptions):
    """Run all steps of a flow in conda environments with these packages.

    A step with ``@conda`` has them, too, unless it names another version of one; its other options
    take the place of those given here. Since 0.1.
    """


conda = StepDecorator("conda", CondaOptions)
conda_base = FlowDecorator("conda_base", CondaBaseOptions)
