"""Configurations on the command line, in every kind of process, and when a run is resumed."""

import json

import pytest

SOURCE = """
    import os
    from flow_core import FlowSpec, step, Config, Parameter, retry

    class F(FlowSpec):
        settings = Config("settings", required=True, help="How to train.")
        day = Config("day", default_value="1979-05-27", parser="datetime.date.fromisoformat", plain=True)
        alpha = Parameter("alpha", default=settings.alpha)

        @retry(times=settings.times)
        @step
        def start(self):
            self.seen = (self.settings.to_dict(), str(self.day), self.alpha)
            self.next(self.end)

        @step
        def end(self):
            if os.path.exists("fail"):
                raise ValueError("no")
            self.again = self.settings.alpha

    if __name__ == "__main__":
        F()
    """
VALUE = '{"alpha": 0.5, "times": 2}'


@pytest.fixture
def file(flowtester):
    return flowtester.write(SOURCE)


@pytest.mark.parametrize("fork", ["auto", "never"])
def test_every_kind_of_process_and_the_record(flowtester, file, fork):
    flowtester.write(VALUE, "settings.json")
    flowtester.python(
        file, "run", "--config", "settings", "settings.json", variables={"FLOW_FORK": fork}
    ).check()
    left = flowtester.left()
    seen = ({"alpha": 0.5, "times": 2}, "1979-05-27", 0.5)
    assert left.artifact("start", "seen") == seen
    assert left.artifact("end", "again") == 0.5
    code = "from flow_core import Run; d = Run('F/1').data; print(d.settings.alpha, d.day, d.alpha)"
    flowtester.write(code, "reader.py")
    read = flowtester.python(flowtester.path / "reader.py").check()
    assert read.stdout == "0.5 1979-05-27 0.5\n"


def test_before_and_after_the_command_and_in_the_environment(flowtester, file):
    given = ["--config-value", "settings", VALUE]
    commands = [
        (flowtester.python, [file, *given, "show", "--json"], {}),
        (flowtester.python, [file, "show", *given, "--json"], {}),
        (flowtester.flow, [*given, "show", str(file), "--json"], {}),
        (flowtester.flow, ["show", str(file), "--json", *given], {}),
        (
            flowtester.flow,
            ["show", str(file), "--json"],
            {"FLOW_CONFIG_VALUE": json.dumps({"settings": json.loads(VALUE)})},
        ),
    ]
    for call, words, variables in commands:
        shown = json.loads(call(*words, variables=variables).check().stdout)
        assert shown["configs"]["settings"] == json.loads(VALUE)
        assert shown["parameters"][0]["default"] == 0.5
        assert shown["steps"]["start"]["decorators"][0]["options"]["times"] == 2


def test_help_lists_them_also_when_a_value_is_missing(flowtester, file):
    missing = flowtester.python(file, "run", "--help").check().stdout
    assert "Further options depend on the configuration" in missing
    given = flowtester.python(file, "run", "--help", "--config-value", "settings", VALUE).check()
    for text in ("--config NAME FILE", "settings: How to train.", "--config-value NAME TEXT"):
        assert text in " ".join(missing.split())
        assert text in " ".join(given.stdout.split())
    assert "--alpha FLOAT" in given.stdout
    top = flowtester.python(file, "--help").check().stdout
    assert "--config NAME FILE" in top
    assert "--config" not in flowtester.flow("--help").check().stdout


def test_mistakes(flowtester, file):
    error = flowtester.python(file, "run")
    assert error.returncode == 2
    assert error.error == {
        "error": "The configuration 'settings' is required",
        "try": "--config settings FILE, or --config-value settings TEXT",
    }
    error = flowtester.python(file, "run", "--config", "settings")
    assert error.returncode == 2
    assert error.error["error"] == "--config needs a name and a file"


def test_resume_takes_them_from_the_origin(flowtester, file):
    (flowtester.path / "fail").touch()
    given = ["--config-value", "settings", VALUE]
    assert flowtester.python(file, "run", *given).returncode == 1
    refused = flowtester.python(file, "resume", "--config-value", "settings", "{}")
    assert refused.returncode == 2
    assert "cannot be given to a run that goes on" in refused.error["error"]
    assert "F/1" in refused.error["why"]
    (flowtester.path / "fail").unlink()
    flowtester.python(file, "resume").check()
    assert flowtester.left(2).artifact("end", "again") == 0.5
    flowtester.python(file, "resume", "--origin-run-id=1").check()
    assert flowtester.left(3).artifact("end", "again") == 0.5
    assert "--origin-run-id" in flowtester.python(file, "resume", "--help").check().stdout


def test_a_flow_without_them(flowtester):
    file = flowtester.write(
        """
        from flow_core import FlowSpec, step, Parameter
        class F(FlowSpec):
            config = Parameter("config")
            @step
            def start(self):
                self.seen = self.config
                self.next(self.end)
            @step
            def end(self):
                pass
        if __name__ == "__main__":
            F()
        """
    )
    flowtester.python(file, "run", "--config", "mine").check()
    assert flowtester.left().artifact("start", "seen") == "mine"
    refused = flowtester.python(file, "--config", "a", "b", "run")
    assert refused.returncode == 2
    assert refused.error["error"] == "Flow 'F' has no configurations"
    refused = flowtester.flow("--config", "a", "b", "plugins")
    assert refused.returncode == 2
    assert "there is nothing to configure" in refused.error["error"]
