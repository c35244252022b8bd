"""Readers and runs that are used wrongly."""

from __future__ import annotations

from flow_core import Flow, FlowSpec, Run, RunFailed, run_flow

flow = Flow(3)  # E
Flow()  # E
print(flow.latest_rum)  # E: latest_rum
print(flow.latest_run.successful)  # E: successful
run = Run("Films/1")
print(run.succesful)  # E: succesful
run.add_tag(3)  # E: add_tag
number: int = run.pathspec  # E: int
for task in run["start"]:
    print(task.dta)  # E: dta
run_flow("films.py")  # E: run_flow
run_flow(FlowSpec, max_workers="2")  # E: max_workers
run_flow(FlowSpec, ["alpha"])  # E: run_flow
try:
    run_flow(FlowSpec)
except RunFailed as error:
    print(error.pathspek)  # E: pathspek
