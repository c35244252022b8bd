"""A project with a branch that is chosen before the command."""

from metaflow import FlowSpec, current, project, schedule, step, trigger

ARGUMENTS = "--branch try run"
EXPECTED = {"facts": ("movies", "test.try", "movies.test.try.ProjectFlow", False, True)}


@project(name="movies")
@schedule(daily=True)
@trigger(event="fresh_data")
class ProjectFlow(FlowSpec):
    @step
    def start(self):
        self.facts = (
            current.project_name,
            current.branch_name,
            current.project_flow_name,
            current.is_production,
            current.is_running_flow,
        )
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ProjectFlow()
