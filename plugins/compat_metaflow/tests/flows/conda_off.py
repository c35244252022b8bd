"""Decorators of environments that are switched off, as people do to run at home."""

from metaflow import FlowSpec, conda, conda_base, step

ARGUMENTS = "--environment=conda run"
EXPECTED = {"x": 1}


@conda_base(libraries={"pandas": "1.3.3"}, python="3.9.7", disabled=True)
class CondaOffFlow(FlowSpec):
    @conda(libraries={"scikit-learn": "1.0"}, disabled=True)
    @step
    def start(self):
        self.x = 1
        self.next(self.end)

    @conda(libraries={"rich": "13.0"}, disabled=True)
    @step
    def end(self):
        pass


if __name__ == "__main__":
    CondaOffFlow()
