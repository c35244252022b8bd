"""What a step says of Slurm, and what sbatch is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from flow_core.api import DefinitionError, PlanDraft, SettingsError, StepDefinition, UsageError
from flow_slurm.choices import choose, read_defaults, words_for_sbatch
from flow_slurm.options import SlurmOptions, slurm
from flow_slurm.plugin import flow_plan_step
from flow_slurm.settings import DEFAULTS
from flow_slurm.times import seconds_of_time, time_of_seconds

BARE = ["--cpus-per-task=1", "--nodes=1", "--ntasks=1", "--mem=4000M", "--no-requeue"]


def settings(**values: Any) -> Any:
    """Return what tells a setting's value."""
    known = {f"slurm_{name}": value for name, value in {**DEFAULTS, **values}.items()}
    return known.__getitem__


def told(
    options: SlurmOptions | None = None,
    members: int | None = None,
    timeout: float | None = None,
    resources: dict[str, float] | None = None,
    **defaults: Any,
) -> list[str]:
    """Return what sbatch is told of a step with ``options``."""
    draft = PlanDraft("work", "local")
    draft.require(**(resources or {}))
    if options is not None:
        draft.require(**options.amounts)
        draft.options["slurm"] = options.to_plan()
    plan = draft.freeze()
    asked = plan.options.get("slurm", {})
    choices = choose(read_defaults(settings(**defaults)), asked, plan.resources, timeout)
    return words_for_sbatch(choices, members)


def test_nothing_said() -> None:
    assert told() == BARE


def test_all_said() -> None:
    options = SlurmOptions(
        partition="gpu,main",
        cpus=4,
        memory=8000.5,
        time="2-12",
        gpus="a100:2",
        account="lab",
        qos="high",
        constraint="avx512&ib",
        requeue=True,
        extra="--reservation=night --mail-user 'a b'",
    )
    assert told(options) == [
        "--partition=gpu,main", "--account=lab", "--qos=high", "--constraint=avx512&ib",
        "--time=2-12", "--cpus-per-task=4", "--nodes=1", "--ntasks=1", "--mem=8001M",
        "--gpus=a100:2", "--requeue", "--reservation=night", "--mail-user", "a b",
    ]  # fmt: skip


def test_the_larger_amount_counts_and_settings_only_where_nothing_is_said() -> None:
    assert "--mem=9000M" in told(
        SlurmOptions(memory=100), resources={"memory": 9000}, memory=10000.0
    )
    assert "--mem=10000M" in told(memory=10000.0)
    assert "--mem=0M" in told(SlurmOptions(memory=0))
    assert "--cpus-per-task=3" in told(resources={"cpu": 2.5})
    assert "--tmp=2000M" in told(resources={"disk": 2000})
    assert "--gpus=1" in told(resources={"gpu": 1})
    assert "--gpus=v100:2" in told(resources={"gpu": 2}, gpus="v100:1")


def test_a_gang() -> None:
    options = SlurmOptions(cpus=2, memory=1001, gpus=1)
    assert told(options, members=4) == [
        "--cpus-per-task=2", "--ntasks=4", "--mem-per-cpu=501M", "--gpus-per-task=1",
        "--no-requeue",
    ]  # fmt: skip
    spread = told(SlurmOptions(nodes=3, memory=0), members=4)
    assert {"--nodes=3", "--ntasks-per-node=2", "--mem=0"} <= {*spread}


def test_the_time() -> None:
    assert "--time=0:06:00" in told(timeout=300)  # later than flow-core's own
    assert "--time=90" in told(SlurmOptions(time=90), timeout=300)
    assert "--time=0:06:00" in told(timeout=300, time="1-0")
    assert "--time=1-0" in told(time="1-0")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:30:00", 5400),
        ("2-12", 216000),
        ("1-00:30", 88200),
        ("1-1:1:1", 90061),
        ("unlimited", math.inf),
    ],
)
def test_forms_of_time(text: str, seconds: float) -> None:
    assert seconds_of_time(text) == seconds
    if seconds < math.inf:
        assert 0 <= seconds_of_time(time_of_seconds(seconds)) - seconds < 60


def test_names_of_variables_are_put_together() -> None:
    defaults = read_defaults(settings(environment="AWS_PROFILE, HF_TOKEN"))
    asked = SlurmOptions(environment=["HF_TOKEN", "OTHER"]).to_plan()
    assert choose(defaults, asked, {}, None).environment == ("AWS_PROFILE", "HF_TOKEN", "OTHER")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"cpus": 0}, "Option 'cpus' must be 1 or more, not 0"),
        ({"memory": -1}, "Option 'memory' must be 0 or more, not -1"),
        ({"memory": math.inf}, "Option 'memory' must be 0 or more, not inf"),
        ({"throttle": -1}, "Option 'throttle' must be 0 or more, not -1"),
        ({"partition": "a b"}, "Option 'partition' cannot be 'a b'"),
        ({"account": ""}, "Option 'account' cannot be ''"),
        (
            {"time": "soon"},
            "'soon' is no time of Slurm's: 90 (minutes), 1:30:00, 2-12 (days-hours)",
        ),
        ({"time": 0}, "Option 'time' must be more than 0"),
        ({"gpus": "a100"}, "Option 'gpus' cannot be 'a100'"),
        ({"gpus": ":2"}, "Option 'gpus' cannot be ':2'"),
        ({"environment": "TOKEN=secret"}, "takes names of variables, not 'TOKEN=secret'"),
        ({"extra": "night"}, "Option 'extra' takes options of sbatch, not 'night'"),
        ({"extra": "--array=1-2"}, "throttle=10 says how many of its tasks run at once"),
        ({"extra": "-o x"}, "Option 'extra' cannot hold -o: flow gives it itself"),
        ({"extra": "--requeue"}, "  try:   requeue=True"),
        ({"extra": "--comment 'x"}, "Option 'extra' cannot be read"),
        ({"partition": 3}, "Option 'partition' must be str or None, not 3"),
    ],
)
def test_what_slurm_cannot_take_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        slurm.make(**values)
    assert text in str(caught.value)
    assert caught.value.hint


def test_settings_are_checked_as_options_are() -> None:
    with pytest.raises(SettingsError) as caught:
        read_defaults(settings(time="soon"))
    assert str(caught.value) == (
        "Setting 'slurm_time' cannot be 'soon'\n"
        "  where: FLOW_SLURM_TIME, or slurm_time in [tool.flow]\n"
        "  why:   'soon' is no time of Slurm's: 90 (minutes), 1:30:00, 2-12 (days-hours)\n"
        '  try:   @slurm(time="1:30:00")'
    )


def test_the_text_form() -> None:
    text = 'partition=main,memory=2000,time=1:30:00,environment=["A","B"]'
    options = slurm.parse(text)
    assert options == SlurmOptions(
        partition="main", memory=2000, time="1:30:00", environment=["A", "B"]
    )
    assert slurm.parse(slurm.to_text(options).removeprefix("slurm:")) == options
    with pytest.raises(UsageError, match="there is no option 'partitoin'") as caught:
        slurm.parse("partitoin=main")
    assert "partition" in str(caught.value)


def test_the_plan_of_a_step() -> None:
    def work(self: Any) -> None: ...

    step = StepDefinition("work", work)
    step.attach(slurm, slurm.make(partition="main", cpus=2, gpus="a100:1"), "code")
    draft = PlanDraft("work", "local")
    flow_plan_step(step, draft)
    plan = draft.freeze()
    assert plan.compute == "slurm"
    assert plan.resources == {"cpu": 2, "gpu": 1}
    assert plan.options == {"slurm": {"partition": "main", "gpu_type": "a100"}}
