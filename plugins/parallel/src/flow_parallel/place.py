"""What a task of a gang knows of the gang: ``current.parallel``."""

# Annotations are not postponed here: a NamedTuple compiles those that are text, at every start.

import os
from typing import NamedTuple

from flow_core.api import FlowError, GangMember


class Parallel(NamedTuple):
    """A task's place in its gang.

    Attributes:
        main_ip: address of the main task's machine.
        num_nodes: number of tasks of the gang.
        node_index: number of this task, from 0; the main one is 0.
        control_task_id: id of the main task.
        main_port: a port at which the main task can listen: it is free on its machine.
    """

    main_ip: str
    num_nodes: int
    node_index: int
    control_task_id: str
    main_port: int


def place(member: GangMember) -> Parallel:
    """Return the place of the task in this process, whose compute provider told the address."""
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise FlowError(
            "The address of the main task of this gang is not known",
            where=f"member {member.index} of {member.size}",
            why=f"MASTER_ADDR and MASTER_PORT should say it: {type(error).__name__}: {error}",
            hint="do not change these variables in the step before current.parallel is read",
        ) from None
    return Parallel(address, member.size, member.index, str(member.control), port)
