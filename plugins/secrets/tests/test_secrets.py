"""``@secrets`` in flows: the step has them, nothing that is stored or shown does."""

import os
import sys

import pytest

from flow_core.api import RunState
from flow_secrets import SecretsError, get_secret
from flow_secrets.masking import forms

TOKEN = "tok-äß-1234567"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"

FLOW = """
    import os, subprocess, sys, time
    from flow_core import FlowSpec, catch, current, retry, secrets, step

    class F(FlowSpec):
        DECORATOR
        @step
        def start(self):
            token = os.environ.get("TOKEN", "")
            self.length = len(token)
            BODY
            self.next(self.end)

        @step
        def end(self):
            self.left = os.environ.get("TOKEN_OF_FILE")

    if __name__ == "__main__":
        F()
"""


def flow(decorator='@secrets(sources=["env.TOKEN"])', body="pass"):
    return FLOW.replace("DECORATOR", decorator).replace("BODY", body)


@pytest.fixture
def run(flowtester, monkeypatch):
    monkeypatch.setenv("TOKEN", TOKEN)
    plugins = ["secrets", "retry", "catch"]
    return lambda source, **options: flowtester.run(source, plugins=plugins, **options)


@pytest.fixture
def process(flowtester, monkeypatch):
    """Run a flow as a process; check that the token is nowhere but in the environment."""

    def run(source, *arguments, ok=True, **options):
        variables = {"TOKEN": TOKEN, **options.pop("variables", {})}
        file = flowtester.write(source)
        done = flowtester.python(file, "run", *arguments, variables=variables, **options)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        assert not places(flowtester.path / ".flow", TOKEN)
        return done

    return run


def places(folder, text):
    """Return the files below ``folder`` that contain ``text``."""
    return [
        file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()
    ]


WRITES = {
    "print": "print('it is', token)",
    "no flush": "sys.stdout.write(token)",
    "stderr": "sys.stderr.write(token + '\\n')",
    "two writes": "os.write(1, token.encode()[:7]); time.sleep(0.2); os.write(1, token.encode()[7:])",
    "bytes": "sys.stdout.buffer.write(token.encode())",
    "subprocess": "subprocess.run('echo $TOKEN; echo $TOKEN >&2', shell=True, check=True)",
    "repr": "print([token])",
    "at exit": "import atexit; atexit.register(print, token)",
    "thread": (
        "import threading; threading.Thread(target=lambda: (time.sleep(0.2), print(token))).start()"
    ),
    "killed": "print(token, flush=True); os.kill(os.getpid(), 9)",
    "os._exit": "os.write(1, token.encode()); os._exit(3)",
    "exception": "raise ValueError('wrong token: ' + token)",
    "exit": "sys.exit(token)",
    "a lot": "print('x' * 200_000 + token + 'y' * 200_000)",
}


@pytest.mark.parametrize("body", WRITES.values(), ids=WRITES)
def test_whatever_a_task_writes(process, flowtester, body):
    ok = not body.endswith(("9)", "(3)")) and "raise" not in body and "sys.exit" not in body
    process(flow(body=body), ok=ok)
    outcome = flowtester.left()
    written = outcome.output("start") + outcome.output("start", "stderr")
    assert "***" in written
    (manifest,) = outcome.manifests("start")
    if "raise" in body:
        assert manifest.failure.message == "wrong token: ***"
        assert manifest.failure.traceback.endswith("wrong token: ***")
    if "a lot" in body or "200_000" in body:
        assert written == "x" * 200_000 + "***" + "y" * 200_000 + "\n"


PYTHON_WRITES = [
    "print",
    "no flush",
    "stderr",
    "bytes",
    "repr",
    "exception",
    "a lot",
]


@pytest.mark.parametrize("name", PYTHON_WRITES)
def test_in_the_process_of_the_launcher(process, flowtester, name):
    """What Python writes, here; child processes have the terminal itself."""
    flowtester.more_plugins = ["inprocess"]
    variables = {"FLOW_COMPUTE": "in-process"}
    process(flow(body=WRITES[name]), ok=name != "exception", variables=variables)
    outcome = flowtester.left()
    assert "***" in outcome.output("start") + outcome.output("start", "stderr")
    if name == "exception":
        assert outcome.manifests("start")[0].failure.message == "wrong token: ***"


def test_in_the_process_of_the_launcher_nothing_is_left(process, flowtester):
    flowtester.more_plugins = ["inprocess"]
    (flowtester.path / ".env").write_text("TOKEN_OF_FILE=hunter2222\n")
    body = "sys.stdout.reconfigure(line_buffering=True); print(os.environ['TOKEN_OF_FILE'])"
    source = flow('@secrets(sources=["file..env"])', body).replace(
        'self.left = os.environ.get("TOKEN_OF_FILE")',
        'self.left = os.environ.get("TOKEN_OF_FILE"); print("hunter2222")',
    )
    done = process(source, variables={"FLOW_COMPUTE": "in-process"})
    outcome = flowtester.left()
    assert outcome.output("start") == "***\n"
    assert outcome.artifact("end", "left") is None
    assert outcome.output("end") == "hunter2222\n"  # nobody's secret there
    assert "Traceback" not in done.stderr


def test_spawned(process, flowtester):
    process(flow(body=WRITES["print"]), variables={"FLOW_FORK": "never"})
    assert flowtester.left().output("start") == "it is ***\n"


def test_what_was_caught(process, flowtester):
    decorators = '@catch(var="failure")\n        @secrets(sources=["env.TOKEN"])'
    process(flow(decorators, WRITES["exception"]))
    assert flowtester.left().artifact("start", "failure").message == "wrong token: ***"


def test_lines_of_a_value_of_several_lines(flowtester):
    (flowtester.path / "secret.json").write_text('{"PEM": "' + PEM.replace("\n", "\\n") + '"}')
    body = "[print('>', line) for line in os.environ['PEM'].splitlines()]; print(repr(os.environ))"
    source = flow('@secrets(sources=["file.secret.json"])', body)
    flowtester.python(flowtester.write(source), "run").check()
    assert flowtester.left().output("start").startswith("> ***\n" * 4)
    assert not places(flowtester.path / ".flow", "MIIEvQIBADANBg")


def test_short_values_are_not_masked_but_said(flowtester):
    (flowtester.path / ".env").write_text("PIN=12\n")
    source = flow('@secrets(sources=["file..env"])', "print(os.environ['PIN'], 12)")
    flowtester.python(flowtester.write(source), "run").check()
    outcome = flowtester.left()
    assert outcome.output("start") == "12 12\n"
    assert outcome.output("start", "stderr") == (
        "The value of the secret 'PIN' has fewer than 4 characters: it is not masked in the "
        "output\n"
    )


def test_other_steps_do_not_have_them(flowtester):
    (flowtester.path / ".env").write_text("TOKEN_OF_FILE=hunter2222\n")
    source = flow('@secrets(sources=["file..env"])', "assert os.environ['TOKEN_OF_FILE']")
    flowtester.python(flowtester.write(source), "run").check()
    assert flowtester.left().artifact("end", "left") is None
    assert not places(flowtester.path / ".flow", "hunter2222")


def test_in_the_launchers_process_all_is_put_back(run, monkeypatch):
    monkeypatch.delenv("MINE", raising=False)
    inline = {"type": "inline", "options": {"env_vars": {"MINE": "x" * 9 + "ü"}}}
    body = "print(os.environ['MINE'], token); sys.stderr.write(token)"
    stdout = sys.stdout
    outcome = run(flow(f'@secrets(sources=["env.TOKEN", {inline}])', body))
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.output("start") == "*** ***\n"
    assert outcome.output("start", "stderr") == "***"
    assert "MINE" not in os.environ
    assert sys.stdout is stdout


def test_the_plan_has_sources_and_no_values(flowtester):
    inline = {"type": "inline", "id": "x", "options": {"env_vars": {"A": "hush-hush"}}}
    source = flow(f'@secrets(sources=["env.TOKEN", {inline}])')
    session = flowtester.session(flowtester.load(source), ["secrets"])
    assert session.plans["start"].secrets == ("env.TOKEN", "inline.x")
    assert "hush" not in str(session.plans)
    file = flowtester.write(source)
    for form in ((), ("--json",)):
        shown = flowtester.flow("show", str(file), *form).check().stdout
        assert "hush" not in shown
        assert "***" in shown
    flowtester.python(file, "run", variables={"TOKEN": TOKEN}).check()
    (document,) = flowtester.left().store.read(["runs/F/1/run.json"])
    assert b"hush" not in document
    assert b"inline.x" in document


def test_a_value_in_the_code_is_told_of(flowtester):
    """Its snapshot is stored, whatever is masked."""
    inline = {"type": "inline", "options": {"env_vars": {"A": "hush-hush"}}}
    file = flowtester.write(flow(f"@secrets(sources=[{inline}])"))
    done = flowtester.python(file, "run").check()
    assert "A secret stands in flow.py itself, of which a snapshot is stored" in done.stdout


def test_with(process, flowtester):
    process(flow("", WRITES["print"]), "--with", "secrets:sources=env.TOKEN")
    assert flowtester.left().output("start") == "it is ***\n"


@pytest.mark.parametrize("form", ["[{}]", "{}"])
def test_no_values_on_the_command_line(flowtester, form):
    source = '{"type": "inline", "options": {"env_vars": {"A": "hush-hush"}}}'
    text = "secrets:sources=" + form.replace("{}", source)
    done = flowtester.python(flowtester.write(flow("")), "run", "--with", text)
    assert done.returncode == 2
    assert done.error == {
        "error": "--with secrets: a secret itself cannot stand on the command line",
        "why": "the command line is recorded with the run",
        "try": "set a variable, and --with secrets:sources=env.NAME",
    }
    assert not (flowtester.path / ".flow").exists()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "vault.db",
            {
                "error": "There is no provider of secrets 'vault'",
                "try": "pip install flow-vault",
            },
        ),
        (
            "aws-secret-manager.db",
            {
                "error": "There is no provider of secrets 'aws-secret-manager'",
                "try": "did you mean 'aws-secrets-manager'?",
            },
        ),
        (
            "token",
            {
                "error": "The secret 'token' names no provider, and there is no default one",
                "why": "the setting 'secrets_default' is empty",
                "try": "name it, as in 'env.token', or set FLOW_SECRETS_DEFAULT",
            },
        ),
    ],
)
def test_unknown_providers_are_refused_before_anything_runs(flowtester, source, error):
    flowtester.more_plugins = ["secrets-aws"]
    file = flowtester.write(flow(f"@secrets(sources=[{source!r}])"))
    done = flowtester.python(file, "run")
    assert done.returncode in (1, 2)
    assert error.items() <= done.error.items()
    assert not list((flowtester.path / ".flow").rglob("run.json"))


def test_the_default_provider(flowtester):
    file = flowtester.write(flow('@secrets(sources=["TOKEN"])', WRITES["print"]))
    variables = {"TOKEN": TOKEN, "FLOW_SECRETS_DEFAULT": "env"}
    flowtester.python(file, "run", variables=variables).check()
    assert flowtester.left().output("start") == "it is ***\n"


def failure(outcome):
    (manifest,) = outcome.manifests("start")
    return manifest.failure


def test_a_secret_that_is_not_there_fails_the_attempt(run):
    outcome = run(flow('@secrets(sources=["env.TOKN"])', "print('never')"))
    assert outcome.state is RunState.FAILED
    assert failure(outcome).type == "flow_secrets.fetching.SecretsError"
    assert failure(outcome).traceback == (
        "The secret 'TOKN' could not be fetched by the provider 'env'\n"
        "  where: @secrets of step 'start'\n"
        "  why:   there is no environment variable 'TOKN'\n"
        "  try:   did you mean 'TOKEN'?"
    )
    assert "never" not in outcome.output("start")


def test_that_it_is_not_there_can_be_tried_again_and_caught(run):
    decorators = (
        "@retry(times=1, on='SecretsError')\n        @catch(var='failure')\n"
        "        @secrets(sources=['env.TOKN'])"
    )
    outcome = run(flow(decorators))
    assert outcome.state is RunState.SUCCEEDED
    assert [m.state.value for m in outcome.manifests("start")] == ["failed", "caught"]


CLASHES = [
    ({"A": "1234"}, {"A": "5678"}, False, "both 'inline.0' and 'inline.1' contain it"),
    ({"HOME": "1234"}, {}, False, "the process has a variable of this name already"),
    ({"HOME": "1234"}, {}, True, None),
    ({"FLOW_USER": "1234"}, {}, True, "'FLOW_USER' is a name of flow-core's own settings"),
    ({"A-B": "1234"}, {}, False, "'A-B' cannot be the name of a variable: letters, digits and _"),
    ({"A": 1234}, {}, False, "the value of 'A' is no text (int)"),
]


@pytest.mark.parametrize(("first", "second", "override", "why"), CLASHES)
def test_names_that_are_not_free(run, first, second, override, why):
    sources = [
        {"type": "inline", "id": str(n), "options": {"env_vars": variables}}
        for n, variables in enumerate((first, second))
        if variables
    ]
    outcome = run(flow(f"@secrets(sources={sources}, allow_override={override})"))
    if why is None:
        assert outcome.state is RunState.SUCCEEDED
    else:
        assert f"why:   {why}" in failure(outcome).traceback


def test_members_of_a_gang(process, flowtester):
    source = """
        import os
        from flow_core import FlowSpec, parallel, secrets, step

        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.work, num_parallel=2)

            @secrets(sources=["env.TOKEN"])
            @parallel
            @step
            def work(self):
                print(os.environ["TOKEN"])
                self.next(self.join)

            @step
            def join(self, inputs):
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
    """
    process(source)
    assert flowtester.left().output("work") == "***\n***\n"


def test_get_secret(monkeypatch):
    monkeypatch.setenv("TOKEN", TOKEN)
    assert get_secret("env.TOKEN") == {"TOKEN": TOKEN}
    assert get_secret({"type": "inline", "options": {"env_vars": {"A": "b"}}}) == {"A": "b"}
    with pytest.raises(SecretsError) as caught:
        get_secret("file.no-such-file")
    assert caught.value.where == "get_secret"
    from flow_core import get_secret as exported

    assert exported is get_secret


def test_forms_of_a_value():
    assert forms(['say "hi"\n']) == sorted(
        {'say "hi"\n', 'say "hi"', 'say "hi"\\n', 'say \\"hi\\"\\n', "say%20%22hi%22%0A"}
    )
    assert forms(["abc", ""]) == []
