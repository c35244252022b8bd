"""``python -m flow_metaflow SCRIPT``: what a script that ends badly shows."""

import pytest


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        (
            "from metaflow import FlowSpec, card",
            "metaflow.card",
            "old flows cannot leave cards yet",
        ),
        (
            "from metaflow.cards import Markdown",
            "metaflow.cards",
            "old flows cannot leave cards yet",
        ),
        ("import metaflow\nmetaflow.batch", "metaflow.batch", "nothing runs steps on AWS Batch"),
        ("import beside", "metaflow.Deployer", "flow-argo"),
    ],
)
def test_what_is_not_offered_has_four_parts_and_no_traceback(old, text, what, why):
    old.write("beside.py", "\nfrom metaflow import Deployer\n")
    old.write("script.py", text + "\n")
    done = old.call("script.py", "run")
    assert done.returncode == 1
    place = "beside.py:2" if "beside" in text else f"script.py:{text.count(chr(10)) + 1}"
    assert done.stderr.startswith(f"error: {what} is not offered by flow-metaflow\n")
    assert done.error["where"] == str(old.folder / place)
    assert done.error["why"].startswith(why)
    assert done.error["try"]


def test_other_exceptions_show_the_script_and_nothing_of_ours(old):
    old.write("script.py", "def helper():\n    raise ValueError('mine')\n\nhelper()\n")
    done = old.call("script.py")
    assert done.returncode == 1
    assert done.stderr.count("  File ") == 2
    assert "flow_metaflow" not in done.stderr
    assert done.stderr.endswith("ValueError: mine\n")


def test_a_bad_decorator_is_shown_as_ever(old):
    old.write(
        "script.py",
        "from metaflow import FlowSpec, retry, step\n"
        "class F(FlowSpec):\n"
        "    @retry(tims=3)\n"
        "    @step\n"
        "    def start(self):\n"
        "        pass\n",
    )
    done = old.call("script.py", "run")
    assert done.returncode == 1
    assert done.error["error"].startswith("Decorator @retry has no option 'tims'")
    assert f"{old.folder / 'script.py'}:3" in done.error["where"]
    assert "'times'" in done.error["try"]


def test_a_merge_that_cannot_be_is_told_once(old):
    old.take("branches.py")
    text = (old.folder / "branches.py").read_text()
    changed = text.replace("        self.x = inputs.a.x\n", "")
    assert changed != text
    old.write("g.py", changed)
    done = old.call("g.py", "run")
    assert "direct cause" not in done.stdout
    assert "UnhandledInMergeArtifactsException" in done.stdout


def test_a_script_may_catch_it(old):
    text = "try:\n    from metaflow import card\nexcept ImportError as e:\n    print(e.name)\n"
    old.write("script.py", text)
    assert old.call("script.py").check().stdout == "metaflow.card\n"


def test_variables_that_change_on_the_way_to_another_process(old):
    """What a process above took over from METAFLOW_USER is not the word of the person."""
    old.take("hello.py")
    old.write(
        "script.py",
        "import os, subprocess, sys\n"
        "import metaflow\n"
        "os.environ['METAFLOW_USER'] = 'eve'\n"
        "subprocess.run([sys.executable, '-m', 'flow_metaflow', 'hello.py', 'version'])\n"
        "os.environ['FLOW_USER'] = 'zoe'\n"
        "os.environ.pop('FLOW_METAFLOW_TAKEN')\n"
        "subprocess.run([sys.executable, '-m', 'flow_metaflow', 'hello.py', 'version'])\n",
    )
    done = old.call("script.py").check()
    users = [line.rpartition(":")[2] for line in done.stderr.splitlines() if "executing" in line]
    assert users == ["eve", "zoe"]


def test_an_old_flow_as_a_library(old):
    old.take("hello.py")
    text = """
import threading
from hello import HelloFlow
from metaflow import Run, namespace
run = HelloFlow.run(show=False, tags=["a"])
print(run.data.message, sorted(run.user_tags), Run("HelloFlow/1").finished)
thread = threading.Thread(target=lambda: print(HelloFlow.run().state))
thread.start()
thread.join()
"""
    done = old.call(old.write("script.py", text)).check()
    assert done.stdout.splitlines() == ["hello world ['a'] True", "succeeded"]
    assert done.stderr == ""
