"""The code snapshot of a run: what is in it, and that a checkout of it runs."""

import pytest

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
        assert found == ["conf/x.yaml", "flows/mine.py"]

    def test_a_secret_is_told_when_the_run_begins(self, flowtester):
        flowtester.write("x", "deploy.pem")
        file = flowtester.write(PLAIN)
        done = flowtester.python(file, "run", variables={"FLOW_PACKAGE": "*.pem"}).check()
        assert "'deploy.pem' is left out of the code snapshot" in done.stdout + done.stderr
        shown = flowtester.flow("code", "list", "F/1").check()
        assert listed(shown) == ["flow.py"]
        assert shown.stderr == "'deploy.pem' was left out when the run began\n"
