"""Which files a code snapshot holds, and what is left out of it."""

import os

import pytest

from flow_core.code_files import Collector, Selection, collect, holds_login, holds_private_key
from flow_core.errors import FlowError

SOURCES = ("flow.py", "lib/a.py", "lib/data.csv", "lib/sub/b.py")
OTHERS = (
    ".git/x.py",
    "__pycache__/y.py",
    "build/z.py",
    "env/pyvenv.cfg",
    "env/lib.py",
    "conda/conda-meta/x",
    "conda/lib.py",
    ".hidden.py",
    "node_modules/n.py",
)


def make(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")


@pytest.fixture
def project(tmp_path):
    make(tmp_path, (*SOURCES, *OTHERS))
    return tmp_path


def names(project, *patterns, file="flow.py", **more):
    """The files of the snapshot, but the rules themselves."""
    found = collect(str(project / file), Selection(patterns=patterns, **more)).files
    return [name for name in found if not name.endswith(".flowignore")]


def told(project, *patterns, **more):
    found = collect(str(project / "flow.py"), Selection(patterns=patterns, **more))
    return {one.name: one.why for one in found.left_out}


class TestSources:
    def test_below_the_flow(self, project):
        assert names(project) == ["flow.py", "lib/a.py", "lib/sub/b.py"]
        found = names(project, suffixes=[".py", ".csv"])
        assert found == ["flow.py", "lib/a.py", "lib/data.csv", "lib/sub/b.py"]

    def test_the_flow_file_always(self, project):
        (project / ".flowignore").write_text("*\n")
        assert names(project, suffixes=[]) == ["flow.py"]
        assert names(project) == ["flow.py"]

    def test_a_flow_in_a_package_begins_above_it(self, project):
        make(project, ["pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/mine.py"])
        found = collect(str(project / "pkg/sub/mine.py"), Selection())
        assert list(found.files) == ["pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/mine.py"]
        assert (found.script, found.code, found.root) == ("pkg/sub/mine.py", "", str(project))

    def test_links(self, project, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        make(elsewhere, ["c.py", "more/d.py"])
        (project / "linked.py").symlink_to(elsewhere / "c.py")
        (project / "lib/ring").symlink_to(project)
        (project / "lib/more").symlink_to(elsewhere / "more")
        (project / "dead.py").symlink_to(project / "none.py")
        assert names(project) == ["flow.py", "lib/a.py", "lib/sub/b.py", "linked.py"]
        assert told(project) == {"dead.py": "is a link to nowhere"}
        assert "lib/more/d.py" in names(project, "lib/more/*")

    def test_a_folder_of_others_is_left_out(self, project, monkeypatch):
        scan = os.scandir

        def refusing(path):
            if str(path).endswith("lib"):
                raise PermissionError(13, "Permission denied")
            return scan(path)

        monkeypatch.setattr(os, "scandir", refusing)
        assert names(project) == ["flow.py"]

    def test_a_home_folder_is_no_project(self, project):
        make(project, [f"data/f{number}.py" for number in range(10)])
        with pytest.raises(FlowError) as caught:
            names(project, most=5)
        error = caught.value
        assert error.what == "The flow's folder holds more than 5 source files"
        assert error.where == str(project)
        assert error.why.endswith("of the first 6 are 6 in 'data'")
        assert "for example '/data/'" in error.hint
        assert "FLOW_CODE_FILES" in error.hint

    def test_a_name_that_is_no_unicode(self, project):
        path = os.fsencode(project) + b"/\xff.py"
        with open(path, "w"):
            pass
        assert names(project) == ["flow.py", "lib/a.py", "lib/sub/b.py"]
        assert told(project) == {"\\udcff.py": "has a name that is no Unicode"}


class TestIgnore:
    def test_what_flowignore_names(self, project):
        (project / ".flowignore").write_text("# not mine\nlib/*\n!lib/a.py\n")
        assert names(project) == ["flow.py", "lib/a.py"]

    def test_in_subfolders(self, project):
        (project / "lib/.flowignore").write_text("/a.py\n")
        assert names(project) == ["flow.py", "lib/sub/b.py"]

    def test_of_the_project_above_the_flow(self, project):
        make(project, ["pyproject.toml", "flows/mine.py", "flows/old/x.py", "flows/y.py"])
        (project / ".flowignore").write_text("/flows/old/\n")
        # The snapshot begins there then: rules mean the same in it.
        assert names(project, file="flows/mine.py") == ["flows/mine.py", "flows/y.py"]
        found = collect(str(project / "flows/mine.py"), Selection())
        assert (found.code, next(iter(found.files))) == ("flows", ".flowignore")

    def test_it_brings_back_what_stays_out_by_itself(self, project):
        (project / ".flowignore").write_text("!build/\n!.hidden.py\n!env/\n")
        assert names(project) == [
            ".hidden.py",
            "build/z.py",
            "env/lib.py",
            "flow.py",
            "lib/a.py",
            "lib/sub/b.py",
        ]

    def test_it_goes_before_patterns(self, project):
        (project / ".flowignore").write_text("*.csv\n")
        assert names(project, "lib/*.csv") == names(project)


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("lib/data.csv", {"lib/data.csv"}),
            ("./lib/*.csv", {"lib/data.csv"}),
            ("**/*.csv", {"lib/data.csv"}),
            ("lib", {"lib/data.csv"}),
            ("lib/", {"lib/data.csv"}),
            ("lib/**", {"lib/data.csv"}),
            ("*/d?t[aeiou].csv", {"lib/data.csv"}),
            ("build/z.py", {"build/z.py"}),
            (".hidden.py", {".hidden.py"}),
            (".h*.py", {".hidden.py"}),
            ("**/z.py", set()),
            ("*hidden.py", set()),
        ],
    )
    def test_what_they_find(self, project, pattern, found):
        assert {*names(project, pattern)} - {*names(project)} == found

    def test_relative_to_the_project_above_the_flow(self, project):
        make(project, ["pyproject.toml", "flows/mine.py", "flows/in.csv", "conf/x.yaml"])
        main = str(project / "flows/mine.py")
        inside = collect(main, Selection(patterns=["flows/*.csv"], base=str(project)))
        assert list(inside.files) == ["in.csv", "mine.py"]
        assert (inside.root, inside.code) == (str(project / "flows"), "")
        above = collect(main, Selection(patterns=["conf/*"], base=str(project)))
        assert list(above.files) == ["conf/x.yaml", "flows/mine.py"]
        assert (above.root, above.code, above.script) == (str(project), "flows", "flows/mine.py")

    def test_modules_go_to_where_the_code_begins(self, project):
        make(project, ["pyproject.toml", "flows/mine.py", "conf/x.yaml"])
        selection = Selection(patterns=["conf/*"], base=str(project))
        collector = Collector(str(project / "flows/mine.py"), selection)
        collector.collect()
        collector.add("other.py", "/elsewhere/other.py")
        collector.insert("extra/table.csv", "/elsewhere/x", "a plugin")
        assert list(collector.result().files) == [
            "conf/x.yaml",
            "flows/extra/table.csv",
            "flows/mine.py",
            "flows/other.py",
        ]

    def test_a_file_that_is_not_there_is_told(self, project):
        selection = Selection(patterns=["lib/dta.csv"], place="[tool.flow] of p.toml")
        (one,) = collect(str(project / "flow.py"), selection).left_out
        assert str(one) == (
            "'lib/dta.csv' is left out of the code snapshot: it is not there "
            "(did you mean 'data.csv'?)"
        )
        (project / "lib/dead").symlink_to("none")
        assert told(project, "lib/dead") == {"lib/dead": "is a link to nowhere"}
        (project / "empty").mkdir()
        assert told(project, "empty") == {"empty": "is a folder without files"}

    def test_a_pattern_that_matches_nothing_is_told(self, project):
        assert told(project, "conf/*.yaml") == {"conf/*.yaml": "matches no file"}

    @pytest.mark.parametrize("pattern", ["../x.csv", "/etc/passwd", "lib/../../x"])
    def test_out_of_the_project(self, project, pattern):
        with pytest.raises(FlowError) as caught:
            names(project, pattern)
        assert caught.value.what == f"'{pattern}' leads out of the project's folder"

    def test_too_many(self, project):
        make(project, [f"data/{number}" for number in range(12)])
        with pytest.raises(FlowError, match=r"'data/\*' names more than 10 files"):
            names(project, "data/*", most=10)


class TestSecrets:
    NAMES = (
        ".env",
        "prod.env",
        ".env.local",
        "conf/server.pem",
        "conf/Server.KEY",
        "id_rsa",
        "id_ed25519",
        "credentials.json",
        "credentials-prod.json",
        "service_account.json",
        ".netrc",
        ".pypirc",
        "kubeconfig",
        "prod.kubeconfig",
        "conf/secrets.toml",
        ".aws/config",
        ".ssh/config",
        ".docker/config.json",
    )
    HARMLESS = (
        ".env.example",
        "id_rsa.pub",
        "conf/keys.txt",
        "environment.yml",
        "secrets_of_success.md",
        "monkey",
    )

    @pytest.mark.parametrize("name", NAMES)
    def test_refused_with_a_word(self, project, name):
        make(project, [name])
        assert name not in names(project, name)
        assert told(project, name) == {name: "looks like a secret"}

    @pytest.mark.parametrize("name", NAMES)
    def test_allowed_by_name(self, project, name):
        make(project, [name])
        (project / ".flowignore").write_text(f"!{name}\n")
        assert name in names(project, name)
        assert told(project, name) == {}

    @pytest.mark.parametrize("name", HARMLESS)
    def test_harmless(self, project, name):
        make(project, [name])
        assert name in names(project, name)

    def test_what_is_left_out_anyway_is_not_told(self, project):
        make(project, ["conf/a.pem", "conf/x.yaml"])
        (project / ".flowignore").write_text("*.pem\n")
        assert told(project, "conf/*") == {}

    def test_how_it_is_told(self, project):
        make(project, ["conf/a.pem"])
        (one,) = collect(str(project / "flow.py"), Selection(patterns=["conf/*"])).left_out
        assert str(one) == (
            "'conf/a.pem' is left out of the code snapshot: it looks like a secret "
            "(to keep it: a line '!conf/a.pem' in .flowignore)"
        )

    @pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    def test_private_keys(self, kind):
        head = f"-----BEGIN {kind}PRIVATE KEY-----"
        body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
        assert holds_private_key(f"{head}\n{body}\n".encode())
        assert holds_private_key(f"{head}\r\n{body}\r\n".encode())
        assert holds_private_key(f"KEY = '{head}\\n{body}\\n'".encode())
        assert not holds_private_key(f"if line == '{head}':\n    read()\n".encode())
        assert not holds_private_key(f"-----BEGIN PUBLIC KEY-----\n{body}\n".encode())

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("--extra-index-url http://ada:PASS@host/simple\n", True),
            ("url: https://:PASS@host\n", True),
            ("--index-url https://glpat-0123456789abcdefgh@host/simple\n", True),
            ("url: postgres://ada:${PASSWORD}@host/db\n", False),
            ("url: https://ada:<token>@host\n", False),
            ("git+ssh://git@host/x.git\nhttps://host:8080/a@b\n", False),
        ],
    )
    def test_logins_in_urls(self, text, found):
        assert holds_login("requirements.txt", text.encode()) == found
        assert not holds_login("lib.py", text.encode())


class TestAdded:
    @pytest.mark.parametrize("name", ["/x", "../x", "a//b", "a/./b", ""])
    def test_paths_that_lead_elsewhere(self, project, name):
        collector = Collector(str(project / "flow.py"), Selection())
        with pytest.raises(FlowError, match="cannot be a path in the code snapshot"):
            collector.insert(name, "/elsewhere/x", "a plugin")

    def test_modules_give_way_and_what_is_added_does_not(self, project):
        collector = Collector(str(project / "flow.py"), Selection())
        collector.collect()
        collector.add("lib/a.py", "/elsewhere/a.py")
        collector.insert("lib/sub/b.py", "/elsewhere/b.py", "a plugin")
        files = collector.result().files
        assert files["lib/a.py"] == str(project / "lib/a.py")
        assert files["lib/sub/b.py"] == "/elsewhere/b.py"

    def test_a_package_that_is_too_large(self, project, tmp_path_factory):
        folder = tmp_path_factory.mktemp("more") / "big"
        make(folder, ["__init__.py", "a.py", "b.py"])
        collector = Collector(str(project / "flow.py"), Selection())
        assert not collector.add_package("big", str(folder), 2)
        assert collector.add_package("big", str(folder), 3)
        assert [*collector.result().files] == ["big/__init__.py", "big/a.py", "big/b.py"]
