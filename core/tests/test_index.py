"""The index of entry points: sees what importlib_metadata sees, and says what is wrong."""

import subprocess
import sys
import zipfile

import importlib_metadata
import pytest

import flow_core
from flow_core.errors import IncompatiblePlugin, PluginError, SettingsError, UnknownName
from flow_core.exports import load_export
from flow_core.index import (
    PREFIX,
    EntryPoint,
    PluginIndex,
    core_requirement,
    distributions,
    hook_modules,
    normalise,
    satisfies,
    scan,
)

POINTS = "[flow.commands]\ngo = pkg.mod:command\n\n[other]\nx = y\n"


def by_library(path):
    """What the authority sees on ``path``."""
    first = {}
    for found in importlib_metadata.distributions(path=[str(p) for p in path]):
        first.setdefault(normalise(found.name), found)
    return {
        (e.group, e.name, e.value.partition("[")[0].strip(), name, found.version)
        for name, found in first.items()
        for e in found.entry_points
        if e.group.startswith(PREFIX)
    }


def by_scan(path):
    return {e[:5] for e in scan(str(p) for p in path)}


def add(folder, name, version="1.0", points=POINTS, kind="dist-info"):
    """Put the metadata of a distribution into ``folder``."""
    info = folder / f"{name}-{version}.{kind}"
    info.mkdir(parents=True)
    file = "METADATA" if kind == "dist-info" else "PKG-INFO"
    (info / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    return info


class TestScan:
    def test_it_sees_what_the_library_sees_on_the_real_path(self):
        assert by_scan(sys.path) == by_library(sys.path)
        assert by_scan(sys.path)

    def test_dist_info_and_egg_info(self, tmp_path):
        add(tmp_path, "flow_one")
        add(tmp_path, "flow_two", "2.0", kind="egg-info")
        add(tmp_path, "nothing", points="[console_scripts]\na = b:c\n")
        assert by_scan([tmp_path]) == by_library([tmp_path])
        assert {e.distribution for e in scan([str(tmp_path)])} == {"flow-one", "flow-two"}

    def test_a_zip_archive(self, tmp_path):
        info = add(tmp_path / "in", "flow_zip")
        archive = tmp_path / "a.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for entry in info.iterdir():
                file.write(entry, f"{info.name}/{entry.name}")
        assert by_scan([archive]) == by_library([archive])
        assert len(by_scan([archive])) == 1

    def test_the_first_on_the_path_counts(self, tmp_path):
        add(tmp_path / "a", "flow_one", "1.0")
        add(tmp_path / "b", "Flow.One", "2.0", POINTS.replace("command", "other"))
        path = [tmp_path / "a", tmp_path / "b"]
        assert by_scan(path) == by_library(path)
        assert [e.version for e in scan(map(str, path))] == ["1.0"]

    def test_the_versions_of_all_distributions(self, tmp_path):
        for folder, name in (("a", "Some.Thing-1.0"), ("a", "plain-2"), ("b", "some_thing-9.9")):
            (tmp_path / folder / f"{name}.dist-info").mkdir(parents=True)
        path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "missing")]
        assert distributions(path) == {"plain": "2", "some-thing": "1.0"}
        assert distributions(path[1:]) == {"some-thing": "9.9"}

    def test_odd_forms_of_the_file(self, tmp_path):
        text = "# comment\n[flow.stores]\n  s3=pkg:S3 [extra]\n; no\nwith.dot = pkg.a:B.c\n[ flow.x ]\n"
        add(tmp_path, "flow_odd", points=text.replace("; no\n", "").replace("[ flow.x ]\n", ""))
        assert by_scan([tmp_path]) == by_library([tmp_path])

    def test_nothing_on_the_path_stops_it(self, tmp_path):
        (tmp_path / "file.txt").write_text("no archive")
        add(tmp_path, "flow_bytes").joinpath("entry_points.txt").write_bytes(
            b"[flow.commands]\n\xff = a:b\n"
        )
        (tmp_path / "flow_file-1.0.egg-info").write_text("a plain file")
        path = [tmp_path, tmp_path / "none", tmp_path / "file.txt"]
        assert [e.distribution for e in scan(map(str, path))] == ["flow-bytes"]


def entry(group="flow.commands", name="go", distribution="flow-a", value="a:b", version="1.0"):
    return EntryPoint(group, name, value, distribution, version, f"/lib/{distribution}")


class TestChoose:
    INDEX = PluginIndex([entry(distribution=f"flow-{n}", name=n) for n in "abc"])

    @pytest.mark.parametrize(
        ("choices", "kept"),
        [
            ([], ["a", "b", "c"]),
            (["no:a"], ["b", "c"]),
            (["no:flow-a", " no:b "], ["c"]),
            (["only:b"], ["b"]),
            (["only:a", "only:flow-b"], ["a", "b"]),
            (["only:a", "no:a"], []),
            (["only:none"], []),
            (["my_hooks", ""], ["a", "b", "c"]),
        ],
    )
    def test_no_and_only(self, choices, kept):
        assert self.INDEX.choose(choices).plugins() == kept

    @pytest.mark.parametrize(
        ("choices", "hint"),
        [
            (["no:a"], "take 'no:a' out of -p, FLOW_PLUGINS or [tool.flow] plugins"),
            (
                ["no:flow-a", "only:b"],
                "take 'no:flow-a' out of -p, FLOW_PLUGINS or [tool.flow] plugins",
            ),
            (["only:b", "no:c"], "add -p only:a"),
        ],
    )
    def test_the_way_back_is_told(self, choices, hint):
        (one,) = (e for e in self.INDEX.entry_points if e.plugin == "a")
        with pytest.raises(UnknownName, match="is left out") as caught:
            self.INDEX.choose(choices).with_modules([]).find(one.group, one.name)
        assert caught.value.hint == hint

    def test_a_place_without_a_name_is_recognised(self):
        with pytest.raises(UnknownName) as caught:
            self.INDEX.find("flow.stores", "/data/all")
        assert caught.value.what == "'/data/all' is a place, and does not say of which store"
        assert caught.value.hint == "write the name of one before it: NAME:///data/all"
        index = PluginIndex([entry("flow.stores", "disk")])
        with pytest.raises(UnknownName, match=r"disk://\./all"):
            index.find("flow.stores", "./all")
        two = PluginIndex([entry("flow.stores", "disk"), entry("flow.stores", "bucket")])
        with pytest.raises(UnknownName, match=r"NAME://~/all"):
            two.find("flow.stores", "~/all")
        with pytest.raises(UnknownName, match="did you mean 'disk://team/all'"):
            index.find("flow.stores", "disk:/team/all")
        with pytest.raises(UnknownName, match="pip install flow-s3"):
            index.find("flow.stores", "s3")

    def test_other_texts_are_hook_modules(self):
        assert hook_modules(["no:a", "my_hooks", "only:b"]) == ["my_hooks"]


class TestRequire:
    INDEX = PluginIndex([entry(version="1.4"), entry(name="x", distribution="flow-b", version="2")])

    @pytest.mark.parametrize(
        "text", ["", "flow-a", "flow_A >= 1.2, <2, flow-b==2.*", "flow-a>1,flow-b"]
    )
    def test_what_is_there(self, text):
        self.INDEX.require(text, "FLOW_REQUIRED_PLUGINS")

    def test_what_is_missing_is_named_all_at_once(self):
        index = self.INDEX.choose(["no:b"])
        with pytest.raises(PluginError) as caught:
            index.require("flow-a>=1.5,<2, flow-b, flow-cards>=0.2", "[tool.flow] of p.toml")
        assert str(caught.value) == (
            "Plugins that this project requires are missing\n"
            "  where: [tool.flow] of p.toml\n"
            "  why:   flow-a>=1.5,<2: installed is 1.4\n"
            "         flow-b: left out by -p or the setting 'plugins'\n"
            "         flow-cards>=0.2: not installed\n"
            "  try:   pip install 'flow-a>=1.5,<2' 'flow-b' 'flow-cards>=0.2'"
        )

    def test_what_cannot_be_read(self):
        with pytest.raises(SettingsError) as caught:
            self.INDEX.require("flow-b, flow-a>=new", "FLOW_REQUIRED_PLUGINS")
        assert str(caught.value) == (
            "'flow-a>=new' does not say which version is required\n"
            "  where: FLOW_REQUIRED_PLUGINS\n"
            "  why:   '>=new' is not part of a range of versions such as >=0.1,<1\n"
            '  try:   required_plugins = ["flow-a>=1.4"]'
        )


class TestFind:
    def test_two_providers_of_a_name(self):
        index = PluginIndex([entry(), entry(distribution="flow-b", version="2")])
        with pytest.raises(PluginError) as caught:
            index.find("flow.commands", "go")
        assert caught.value.what == (
            "Two plugins provide the command 'go': flow-a 1.0 and flow-b 2"
        )
        assert caught.value.where == "/lib/flow-a and /lib/flow-b"
        assert caught.value.hint == (
            "pick one: -p flow-a/go or -p flow-b/go; for good, in pyproject.toml: "
            '[tool.flow] plugins = ["flow-a/go"]'
        )
        for choice in ("no:a", "flow-b/go", "b/go"):
            assert index.choose([choice]).find("flow.commands", "go").version == "2"

    def test_what_is_picked_leaves_other_groups_and_names_alone(self):
        twin = entry("flow.stores", "go", distribution="flow-b")
        other = entry(name="stop", distribution="flow-a")
        index = PluginIndex([entry(), entry(distribution="flow-b"), twin, other])
        chosen = index.choose(["flow-a/go"])
        assert chosen.find("flow.commands", "go").distribution == "flow-a"
        assert chosen.find("flow.stores", "go").distribution == "flow-b"
        assert chosen.find("flow.commands", "stop").distribution == "flow-a"

    @pytest.mark.parametrize("choice", ["flow-c/go", "flow-a/goo"])
    def test_what_cannot_be_picked_has_near_misses(self, choice):
        index = PluginIndex([entry(), entry(distribution="flow-b")])
        with pytest.raises(UnknownName) as caught:
            index.choose([choice])
        assert caught.value.where == f"-p or the setting 'plugins': {choice}"
        assert "flow-a/go" in caught.value.hint

    @pytest.mark.parametrize(
        ("index", "words"),
        [
            (PluginIndex([]), "no command is installed"),
            (PluginIndex([entry(name="show")]), "show"),
        ],
    )
    def test_a_missing_one_says_what_to_install(self, index, words):
        with pytest.raises(PluginError) as caught:
            index.find("flow.commands", "run")
        assert caught.value.what == "no plugin provides the command 'run': pip install flow-run"
        assert words in caught.value.why

    def test_a_near_miss(self):
        with pytest.raises(PluginError) as caught:
            PluginIndex([entry("flow.decorators", "retry")]).find("flow.decorators", "retyr")
        assert caught.value.hint == "did you mean 'retry'?"


class TestLoad:
    @pytest.mark.parametrize(
        ("source", "value", "why"),
        [
            (None, "flow_gone:x", "ModuleNotFoundError: No module named 'flow_gone'"),
            ("1/0", "flow_test_index:x", "ZeroDivisionError: division by zero"),
            ("import sys; sys.exit(3)", "flow_test_index:x", "SystemExit: 3"),
            ("", "flow_test_index:x", "module 'flow_test_index' has no attribute 'x'"),
        ],
    )
    def test_a_broken_one_names_the_cause_and_the_ways_out(
        self, source, value, why, tmp_path, monkeypatch
    ):
        if source is not None:
            (tmp_path / "flow_test_index.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        sys.modules.pop("flow_test_index", None)
        with pytest.raises(PluginError) as caught:
            entry(value=value).load()
        assert caught.value.what == "The command 'go' cannot be loaded"
        assert caught.value.where == f"plugin 'a' (flow-a 1.0), {value}"
        assert why in caught.value.why
        assert "pip install --force-reinstall flow-a" in caught.value.hint
        assert "-p no:a" in caught.value.hint

    def test_attributes_of_attributes(self):
        assert entry(group="flow.exports", value="os:path.sep").load() == "/"

    @pytest.mark.parametrize(
        ("group", "what", "why"),
        [
            (
                "commands",
                "command 'go' is not a flow_core.api.Command",
                "summary, needs_flow, build",
            ),
            (
                "decorators",
                "decorator 'go' is not a flow_core.api.StepDecorator or FlowDecorator",
                "name, options",
            ),
        ],
    )
    def test_an_object_of_another_kind_is_told_what_it_should_be(self, group, what, why):
        with pytest.raises(PluginError) as caught:
            entry(group=f"flow.{group}", value="os:path.sep").load()
        assert caught.value.what == f"The {what}"
        assert caught.value.where == "plugin 'a' (flow-a 1.0), os:path.sep"
        assert caught.value.why == f"its type is str, without a proper {why}"
        assert "-p no:a" in caught.value.hint


class TestExports:
    def test_an_unknown_name_of_flow_core_says_what_to_install(self):
        with pytest.raises(ImportError) as caught:
            load_export("quantum")
        assert "flow_core has no 'quantum'" in str(caught.value)
        assert "pip install flow-quantum" in str(caught.value)

    def test_a_misspelt_name_of_the_kernel_is_recognised(self):
        with pytest.raises(ImportError) as caught:
            load_export("Paramter")
        assert str(caught.value).startswith(
            "flow_core has no 'Paramter'\n  try:   did you mean 'Parameter'"
        )
        assert "pip" not in str(caught.value)

    def test_modules_of_flow_core_are_no_exports(self):
        code = (
            "from flow_core import testing, cli; import flow_core.errors; print(testing.__name__)"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert found.stdout == "flow_core.testing\n", found.stderr

    def test_dir_lists_the_names_of_plugins(self):
        assert {"FlowSpec", "step", *PluginIndex(scan(sys.path)).export_names()} <= {
            *dir(flow_core)
        }


class TestVersions:
    @pytest.mark.parametrize(
        ("version", "requirement", "fits"),
        [
            ("0.1.0", "", True),
            ("0.1.0", ">=0.1,<1", True),
            ("0.1.0", ">=0.2", False),
            ("1.0", ">=0.1,<1", False),
            ("1.0", "==1", True),
            ("1.0.0", "==1.0", True),
            ("1.5", "==1.0.*", False),
            ("1.0.7", "==1.0.*", True),
            ("1", "==1.0.*", True),
            ("2.0", "~=1.0", False),
            ("1.9", "~=1.0", True),
            ("2.3.0", "~=2.2.0", False),
            ("2.2.5", "~=2.2.0", True),
            ("1.2", "!=1.2.0", False),
            ("1.2.1", "!=1.2", True),
            ("1.10", ">1.9", True),
            ("1.2rc1", ">=1.2", True),
            ("0.9", "<=0.9.0", True),
            # A pre-release counts as its release, unless the clause itself names one.
            ("1.0rc1", ">=0.1,<1", False),
            ("0.3.0.dev4", ">=0.3,<1", True),
            ("1.0rc1", ">=1.0rc2", False),
            ("1.0rc2", ">=1.0rc2,<2", True),
            ("1.0", ">1.0rc2", True),
            ("1.0", "!=1.0rc2", True),
            ("1.0", "<=1.0rc2", False),
            ("1.0.0", "!=1.0.post1", True),
            ("1.3", "~=1.1rc1", True),
            ("2.0", "~=1.1rc1", False),
            ("1.1", "~=1.1.0", True),
            ("0.1.0", "===0.1.0", True),
            ("0.1.0", "===0.1", False),
            ("0.1.0+local", "==0.1.0", True),
        ],
    )
    def test_satisfies(self, version, requirement, fits):
        assert satisfies(version, requirement) is fits

    @pytest.mark.parametrize("requirement", ["latest", ">=", ">=0.1,latest", "=0.1", ">=0.1x y"])
    def test_what_is_no_range_is_refused(self, requirement):
        with pytest.raises(ValueError, match=r"is no"):
            satisfies("0.1.0", requirement)

    @pytest.mark.parametrize(
        ("lines", "found"),
        [
            (["Requires-Dist: flow-core>=0.1,<1"], ">=0.1,<1"),
            (["Requires-Dist: flow_core (>=0.1, <1)"], ">=0.1,<1"),
            (["Requires-Dist: Flow.Core[testing] >=2"], ">=2"),
            (["Requires-Dist: flow-core>=9 ; python_version < '3'"], ""),
            (["Requires-Dist: flow-core>=9;python_version>='3'"], ">=9"),
            (
                [
                    "Requires-Dist: flow-core>=9 ; python_version < '3.8'",
                    "Requires-Dist: flow-core>=0.1,<1 ; python_version >= '3.8'",
                ],
                ">=0.1,<1",
            ),
            (["Requires-Dist: flow-core[testing]~=0.1 ; (sys_platform != 'cp/m')"], "~=0.1"),
            (["Requires-Dist: flow-core @ https://example.org/flow_core.whl#sha256=1"], ""),
            (["Requires-Dist: flow-core[testing] @ file:///flow_core.whl"], ""),
            (["Requires-Dist: flow-core>=0.1", "Requires-Dist: flow-core<1"], ">=0.1,<1"),
            (["Requires-Dist: flow-core"], ""),
            (["Requires-Dist: flow-core-extras>=9", "Requires-Dist: flow-core<3"], "<3"),
            (["Requires-Dist: flow-core>=9; extra == 'x'", "Requires-Dist: flow-core<3"], "<3"),
            (["Requires-Dist: pandas>=9"], ""),
            (["", "Requires-Dist: flow-core>=9"], ""),
        ],
    )
    def test_core_requirement(self, tmp_path, lines, found):
        (tmp_path / "METADATA").write_text("\n".join(["Name: a", *lines, "", "text"]))
        assert core_requirement(entry()._replace(location=str(tmp_path))) == found

    def test_core_requirement_in_odd_encodings(self, tmp_path):
        here = entry()._replace(location=str(tmp_path))
        (tmp_path / "METADATA").write_bytes(b"Author: Ren\xe9\nRequires-Dist: flow-core<3\n\n")
        assert core_requirement(here) == "<3"
        (tmp_path / "METADATA").write_bytes(b"\xef\xbb\xbfRequires-Dist: flow-core<4\n\n")
        assert core_requirement(here) == "<4"


class TestRangeAtLoad:
    """Whatever a plugin provides, it is refused by a flow-core that it was not made for."""

    def requiring(self, tmp_path, line, group="flow.stores"):
        (tmp_path / "METADATA").write_text(f"Name: flow-late\n{line}\n\n")
        return EntryPoint(group, "late", "no_such_module:x", "flow-late", "2.0", str(tmp_path))

    @pytest.mark.parametrize(
        "group", ["flow.stores", "flow.commands", "flow.plugins", "flow.decorators", "flow.cards"]
    )
    def test_it_is_refused_before_it_is_imported(self, tmp_path, group):
        late = self.requiring(tmp_path, "Requires-Dist: flow-core>=7,<8", group)
        with pytest.raises(IncompatiblePlugin) as caught:
            late.load()
        assert str(caught.value) == (
            f"The plugin 'late' needs flow-core >=7,<8; this is {flow_core.__version__}\n"
            "  where: flow-late 2.0\n"
            "  try:   pip install --upgrade flow-core flow-late, or leave it out: -p no:late"
        )

    def test_a_condition_that_is_false_here_does_not_count(self, tmp_path):
        late = self.requiring(tmp_path, "Requires-Dist: flow-core>=7 ; sys_platform == 'cp/m'")
        with pytest.raises(PluginError, match="No module named 'no_such_module'"):
            late.load()

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("flow-core>=new", "'>=new' is not part of a range of versions such as >=0.1,<1"),
            ("flow-core>=0.1; moon == 'full'", "a condition asks for 'moon', which is not known"),
        ],
    )
    def test_what_cannot_be_read_is_told(self, tmp_path, line, why):
        with pytest.raises(PluginError) as caught:
            self.requiring(tmp_path, f"Requires-Dist: {line}").load()
        assert str(caught.value) == (
            "What the plugin 'late' requires of flow-core cannot be read\n"
            f"  where: flow-late 2.0, {tmp_path}\n"
            f"  why:   {why}\n"
            "  try:   correct the dependencies in its pyproject.toml (flow-core>=0.1,<1), "
            "or leave it out: -p no:late"
        )

    def test_the_usual_ranges_import_nothing_more(self, tmp_path):
        self.requiring(tmp_path, "Requires-Dist: flow-core>=0.1,<1,!=0.1.7\nRequires-Dist: a; b")
        code = (
            "import sys\n"
            "from flow_core.index import EntryPoint\n"
            f"EntryPoint('flow.x', 'x', 'json:dumps', 'flow-late', '2.0', {str(tmp_path)!r}).load()\n"
            "print('flow_core.versions' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "False\n"


def test_a_provider_that_cannot_be_opened(tmp_path, monkeypatch):
    (tmp_path / "fussy_store.py").write_text(
        "class Fussy:\n    def __init__(self, place):\n        raise RuntimeError(f'no {place}')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    index = PluginIndex(
        [entry()._replace(group="flow.stores", name="fussy", value="fussy_store:Fussy")]
    )
    with pytest.raises(PluginError) as caught:
        index.open("flow.stores", "fussy://there")
    assert caught.value.what == "The store 'fussy://there' cannot be opened"
    assert caught.value.why == "RuntimeError: no there"


class TestOpener:
    """URLs of stores whose scheme no store is named for."""

    INDEX = PluginIndex(
        [
            entry("flow.stores", "here"),
            entry("flow.url_stores", "any", value="any_stores:open_url"),
            entry("flow.stores", "gone", distribution="flow-gone"),
        ]
    )

    @pytest.fixture(autouse=True)
    def _module(self, tmp_path, monkeypatch):
        (tmp_path / "any_stores.py").write_text("def open_url(url):\n    return ['opened', url]\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    def test_it_gets_the_whole_url(self):
        assert self.INDEX.open("flow.stores", "far://a/b") == ["opened", "far://a/b"]
        assert self.INDEX.opens("flow.stores", "far://a/b")

    def test_names_come_first(self):
        assert self.INDEX.find_opener("flow.stores", "here://x").name == "here"
        assert self.INDEX.find_opener("flow.stores", "here").name == "here"

    @pytest.mark.parametrize(
        ("group", "text"), [("flow.stores", "far"), ("flow.metadata", "a://b")]
    )
    def test_it_takes_nothing_else(self, group, text):
        with pytest.raises(UnknownName):
            self.INDEX.find_opener(group, text)
        assert not self.INDEX.opens(group, text)

    def test_what_is_left_out_is_not_replaced(self):
        with pytest.raises(UnknownName, match="is left out"):
            self.INDEX.choose(["no:gone"]).find_opener("flow.stores", "gone://x")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("sftp", "pip install flow-fsspec"),
            ("sfpt", "did you mean 'sftp'"),
            ("hera", "did you mean 'here'"),
            ("wonder", "pip install flow-wonder"),
        ],
    )
    def test_without_one_it_says_what_to_install(self, name, words):
        index = PluginIndex([entry("flow.stores", "here")])
        with pytest.raises(UnknownName) as caught:
            index.open("flow.stores", f"{name}://x")
        assert words in f"{caught.value.what} {caught.value.hint}"
