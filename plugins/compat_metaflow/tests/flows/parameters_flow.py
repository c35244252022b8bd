"""Parameters of all kinds."""

import json

from metaflow import FlowSpec, JSONType, Parameter, current, step

ARGUMENTS = """run --ratio 0.5 --verbose True --settings '{"depth": 3}' --learning_rate 0.25"""
EXPECTED = {
    "count": 5,
    "ratio": 0.5,
    "verbose": True,
    "settings": {"depth": 3},
    "fallback": {"a": [1]},
    "computed": "ParametersFlow/computed",
    "rate": 0.25,
    "read_only": True,
    "optional": None,
}


def computed(context):
    return f"{context.flow_name}/{context.parameter_name}"


class ParametersFlow(FlowSpec):
    count = Parameter("count", default=5, help="An integer.", show_default=True)
    ratio = Parameter("ratio", type=float, required=True)
    verbose = Parameter("verbose", default=False, type=bool)
    settings = Parameter("settings", type=JSONType, default=json.dumps({"depth": 1}))
    fallback = Parameter("fallback", type=JSONType, default='{"a": [1]}')
    computed = Parameter("computed", default=computed, type=str)
    rate = Parameter("learning_rate", default=0.1)
    optional = Parameter("optional", type=str, default=None)

    @step
    def start(self):
        try:
            self.count = 6
            self.read_only = False
        except AttributeError:
            self.read_only = True
        assert "ratio" in current.parameter_names
        self.next(self.end)

    @step
    def end(self):
        print(self.count, self.ratio)


if __name__ == "__main__":
    ParametersFlow()
