"""A switch, and a step that goes round until it is done."""

from metaflow import FlowSpec, Parameter, step

ARGUMENTS = "run --kind fast"
EXPECTED = {"way": "fast", "rounds": 3}


class SwitchFlow(FlowSpec):
    kind = Parameter("kind", default="slow")

    @step
    def start(self):
        self.rounds = 0
        self.choice = self.kind
        self.next({"fast": self.fast, "slow": self.slow}, condition="choice")

    @step
    def fast(self):
        self.way = "fast"
        self.next(self.again)

    @step
    def slow(self):
        self.way = "slow"
        self.next(self.again)

    @step
    def again(self):
        self.rounds += 1
        self.more = "yes" if self.rounds < 3 else "no"
        self.next({"yes": self.again, "no": self.end}, condition="more")

    @step
    def end(self):
        print(self.way, self.rounds)


if __name__ == "__main__":
    SwitchFlow()
