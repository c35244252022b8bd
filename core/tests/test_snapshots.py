"""The code snapshot of a run: what is in it, and that a checkout of it runs."""

import textwrap

import pytest

from flow_core import package
from flow_core.errors import FlowError
from flow_core.hookspecs import hookimpl
from flow_core.snapshots import current_code, keep_code

FLOW = """
    from flow_core import FlowSpec, step

    import sib.deep

    class F(FlowSpec):
        @step
        def start(self):
            import late

            self.seen = [sib.deep.X, late.Y]
            self.next(self.end)

        @step
        def end(self):
            print("seen", self.seen)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def outside(flowtester, tmp_path_factory):
    """A folder on the path beside the flow's, with a package and a module of a person's own."""
    folder = tmp_path_factory.mktemp("outside")
    files = {
        "sib/__init__.py": "",
        "sib/deep.py": "import lone\nX = lone.Z\n",
        "sib/unread.py": "W = 1\n",
        "sib/query.sql": "select 1\n",
        "lone.py": "Z = 3\n",
        "late.py": "Y = 4\n",
        "stranger.py": "",
    }
    for name, text in files.items():
        flowtester.write(text, str(folder / name))
    return {"PYTHONPATH": str(folder)}


def listed(done):
    return [line.split()[-1] for line in done.check().stdout.splitlines()]


PLAIN = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class TestModulesFromElsewhere:
    def test_a_checkout_runs_without_them(self, flowtester, outside, tmp_path_factory):
        file = flowtester.write(FLOW)
        flowtester.python(file, "run", variables=outside).check()
        modules = ["late.py", "lone.py", "sib/__init__.py", "sib/deep.py", "sib/unread.py"]
        assert listed(flowtester.flow("code", "list", "F/1")) == ["flow.py", *modules]
        folder = tmp_path_factory.mktemp("checkout")
        flowtester.flow("code", "checkout", "F/1", "--to", str(folder)).check()
        done = flowtester.python(folder / "flow.py", "run").check()
        assert "seen [3, 4]" in done.stdout
        # The same code, found in another way, has the same hash.
        assert flowtester.flow("code", "diff", "F/1", "F/2").check().stdout == ""

    def test_other_files_of_their_packages(self, flowtester, outside):
        variables = {**outside, "FLOW_CODE_SUFFIXES": ".py,.sql"}
        file = flowtester.write(FLOW)
        assert "sib/query.sql" in listed(
            flowtester.python(file, "code", "list", variables=variables)
        )


class TestPackageSetting:
    def test_relative_to_the_project_of_the_flow(self, flowtester):
        flowtester.write('[tool.flow]\npackage = ["conf/*.yaml"]\n', "project/pyproject.toml")
        flowtester.write("a: 1\n", "project/conf/x.yaml")
        file = flowtester.write(PLAIN, "project/flows/mine.py")
        # Though the current folder is another one.
        found = listed(flowtester.python(file, "code", "list"))
        assert found == ["conf/x.yaml", "flows/mine.py", "pyproject.toml"]

    def test_a_secret_is_told_when_the_run_begins(self, flowtester):
        flowtester.write("x", "deploy.pem")
        file = flowtester.write(PLAIN)
        done = flowtester.python(file, "run", variables={"FLOW_PACKAGE": "*.pem"}).check()
        assert "'deploy.pem' is left out of the code snapshot" in done.stdout + done.stderr
        shown = flowtester.flow("code", "list", "F/1").check()
        assert listed(shown) == ["flow.py"]
        assert shown.stderr == "'deploy.pem' was left out when the run began\n"


ACME = {
    "acme/__init__.py": """
        from dataclasses import dataclass

        from flow_core.api import Options, StepDecorator, option

        @dataclass(frozen=True)
        class MarkOptions(Options):
            '''Mark a step.'''

            word: str = option("", help="The word.")

        mark = StepDecorator("mark", MarkOptions)
        """,
    "acme/hooks.py": """
        from flow_core.api import hookimpl

        @hookimpl
        def flow_task_setup(task, flow):
            print("acme marks", flow.__class__.__name__)
        """,
    "acme/words.txt": "a word\n",
    "flow_acme-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: flow-acme\nVersion: 1.0\nRequires-Dist: flow-core\n"
    ),
    "flow_acme-1.0.dist-info/entry_points.txt": (
        "[flow.plugins]\nacme = acme.hooks\n\n[flow.decorators]\nmark = acme:mark\n"
    ),
    "flow_acme-1.0.dist-info/RECORD": "",
}


class TestPlugins:
    def test_one_in_development_goes_along_and_is_found_in_the_checkout(
        self, flowtester, tmp_path_factory
    ):
        site = tmp_path_factory.mktemp("site")
        for name, text in ACME.items():
            flowtester.write(text, str(site / name))
        flowtester.more_plugins = ("acme",)
        source = PLAIN.replace("import FlowSpec", "import FlowSpec, mark").replace(
            "        @step", "        @mark(word='x')\n        @step", 1
        )
        file = flowtester.write(source)
        done = flowtester.python(file, "run", variables={"PYTHONPATH": str(site)}).check()
        assert "acme marks F" in done.stdout
        names = ["acme/__init__.py", "acme/hooks.py", "flow.py"]
        names += [f"flow_acme-1.0.dist-info/{n}" for n in ("METADATA", "entry_points.txt")]
        assert listed(flowtester.flow("code", "list", "F/1")) == names
        folder = tmp_path_factory.mktemp("checkout")
        flowtester.flow("code", "checkout", "F/1", "--to", str(folder)).check()
        again = flowtester.python(folder / "flow.py", "run").check()
        assert "acme marks F" in again.stdout

    def test_a_module_that_is_named_and_what_it_imports(self, flowtester, outside):
        folder = outside["PYTHONPATH"]
        flowtester.write("import sib.deep\n", f"{folder}/mine/hooks.py")
        file = flowtester.write(PLAIN)
        done = flowtester.python(file, "-p", "mine.hooks", "code", "list", variables=outside)
        modules = ["lone.py", "mine/hooks.py", "sib/__init__.py", "sib/deep.py", "sib/unread.py"]
        assert listed(done) == ["flow.py", *modules]

    def test_decorators_of_ones_own(self, flowtester, outside):
        folder = outside["PYTHONPATH"]
        source = """
            import lone
            from flow_core import FlowMutator

            class Changed(FlowMutator):
                def add_to_package(self):
                    yield __file__.replace("changing.py", "late.py"), "extra/late.txt"
            """
        flowtester.write(source, f"{folder}/changing.py")
        text = PLAIN.replace(
            "    class F", "    from changing import Changed\n\n    @Changed\n    class F"
        )
        file = flowtester.write(text)
        done = flowtester.python(file, "code", "list", variables=outside)
        assert listed(done) == ["changing.py", "extra/late.txt", "flow.py", "lone.py"]


class TestSecrets:
    KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj" * 2

    def test_a_private_key_in_a_source_file(self, flowtester):
        flowtester.write(f'KEY = """{self.KEY}"""\n', "lib.py")
        file = flowtester.write(PLAIN)
        done = flowtester.python(file, "code", "list")
        assert listed(done) == ["flow.py"]
        assert "'lib.py' is left out of the code snapshot: it holds a private key" in done.stderr
        flowtester.write("!lib.py\n", ".flowignore")
        assert listed(flowtester.python(file, "code", "list")) == [
            ".flowignore",
            "flow.py",
            "lib.py",
        ]

    def test_a_private_key_in_the_flow_itself(self, flowtester):
        file = flowtester.write(f'KEY = """{self.KEY}"""\n' + textwrap.dedent(PLAIN))
        error = flowtester.python(file, "run").error
        assert error["error"] == "The flow's file holds a private key"
        flowtester.write("!flow.py\n", ".flowignore")
        flowtester.python(file, "run").check()

    def test_a_login_in_another_file(self, flowtester):
        flowtester.write("--index-url https://ada:PASS@host/simple\n", "needs.txt")
        file = flowtester.write(PLAIN)
        done = flowtester.python(file, "code", "list", variables={"FLOW_PACKAGE": "needs.txt"})
        assert listed(done) == ["flow.py"]
        assert "it holds a login in a URL" in done.stderr

    def test_settings_that_are_secret(self, flowtester):
        flowtester.write('[tool.flow]\ndatastore = "s3://a:b@c/d"\n', "pyproject.toml")
        file = flowtester.write(PLAIN)
        variables = {"FLOW_DATASTORE": "local"}
        done = flowtester.python(file, "code", "list", variables=variables)
        assert listed(done) == ["flow.py"]
        assert (
            "'pyproject.toml' is left out of the code snapshot: it sets 'datastore'" in done.stderr
        )
        assert "FLOW_DATASTORE" in done.stderr


def test_a_notebook_keeps_its_cells(flowtester):
    """A flow that is in no file."""
    session = flowtester.session(flowtester.load(PLAIN))
    (flowtester.path / "flow.py").unlink()
    assert keep_code(session).script == "F.py"
    assert current_code(session).files == {}


class TestFiles:
    """What cannot be read, and what is too much."""

    def refuse(self, monkeypatch, name):
        real = package.read_file

        def read(path):
            if path.endswith(name):
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr(package, "read_file", read)

    def test_one_that_may_not_be_read_is_told(self, flowtester, monkeypatch):
        flowtester.write("x = 1\n", "private.py")
        self.refuse(monkeypatch, "private.py")
        session = flowtester.session(flowtester.load(PLAIN))
        (one,) = keep_code(session).left_out
        assert (one.name, one.why) == ("private.py", "cannot be read")

    def test_the_flow_itself_is_an_error(self, flowtester, monkeypatch):
        self.refuse(monkeypatch, "flow.py")
        with pytest.raises(FlowError, match="A file of the code snapshot cannot be read"):
            keep_code(flowtester.session(flowtester.load(PLAIN)))

    def test_too_much_is_refused_before_it_is_read(self, flowtester, monkeypatch):
        big = flowtester.write("", "big.py")
        with big.open("r+b") as file:
            file.truncate(60_000_000)
        self.refuse(monkeypatch, ".py")
        with pytest.raises(FlowError) as caught:
            keep_code(flowtester.session(flowtester.load(PLAIN)))
        assert caught.value.what == "The code snapshot is larger than 50 MB"
        assert caught.value.where == "big.py"

    def test_files_of_environments(self, flowtester):
        class Asks:
            @hookimpl
            def flow_plan_step(self, step, draft):
                draft.use_environment("own", by="test", files=["needs.txt"])

        flowtester.write("pandas\n", "needs.txt")
        session = flowtester.session(flowtester.load(PLAIN), modules=[Asks()])
        assert [*current_code(session).files] == ["flow.py", "needs.txt"]
