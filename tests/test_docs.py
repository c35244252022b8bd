"""The documentation is true: every block runs, every name is there, every path and count exists."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from servers.kubernetes.handle import Cluster
from servers.podman import Podman
from servers.s3 import Bucket
from servers.slurm import need_slurm

from flow_core import api, hookspecs, interfaces, testing
from flow_core.api import Session, Settings, describe_options, installed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CORE = ROOT / "core/src/flow_core"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(DOCS))  # they import each other
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


blocks = _script("blocks")
kinds = _script("kinds")
shipped = _script("shipped")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _compact(text: str) -> str:
    """Leave out what signatures may differ in: blanks, quotes, a comma before a bracket."""
    return re.sub(r"[\s'\"]", "", text).replace(",)", ")")


# --- blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    begin, end = text.find("<!-- generated -->"), text.find("<!-- end of generated -->")
    for block in blocks.blocks(text):
        generated = page.parent.name == "reference" or begin < block.start < end
        shown = ("text", "sh", "py") if generated else ("text", "sh")
        where = f"{_name(page)}:{block.line}"
        assert block.language in (*blocks.RUN, *shown), where
        assert block.language != "toml" or block.file, f"{where}: name the file in a comment"


FOLLOWED = re.search(
    r"^FOLLOWED = (\[.*\])$", (ROOT / "tests/test_wheels.py").read_text(), re.MULTILINE
)
"""Pages that are done there block by block, by an author with nothing but the wheels."""


def _runs(page: Path) -> bool:
    assert FOLLOWED
    if page.parent.name == "plugins" and page.stem in ast.literal_eval(FOLLOWED[1]):
        return False
    return any(b.language in blocks.RUN for b in blocks.blocks(page.read_text(encoding="utf-8")))


NEEDS = {
    "docs/conda.md": "conda_channel",
    "docs/kubernetes.md": "kubernetes_and_bucket",
    "docs/remote.md": "podman_for_all",
    "docs/slurm.md": "slurm_programs",
}
"""Fixtures that skip the test of a page on machines that lack what its blocks need."""


@pytest.fixture
def podman_for_all(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman with the image ``python``, in the version of this process, as from its registry."""
    for name, value in podman.environment().items():
        monkeypatch.setenv(name, value)
    version = ".".join(map(str, sys.version_info[:2]))
    podman.run("tag", podman.python_image, f"localhost/python:{version}")


@pytest.fixture
def kubernetes_and_bucket(
    kubernetes: Cluster, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster with a secret ``bucket-keys``, and a bucket, ``$TEST_BUCKET``, that its pods reach."""
    if kubernetes.is_real:
        pytest.skip("the bucket is on this machine, and the cluster is not")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    secret = {name: bucket.environment()[name] for name in keys}
    kubernetes.core().create_namespaced_secret(
        kubernetes.namespace, {"metadata": {"name": "bucket-keys"}, "stringData": secret}
    )
    own = {"TEST_BUCKET": bucket.url, "KUBECACHEDIR": str(tmp_path)}
    for name, value in {**kubernetes.environment(), **bucket.environment(), **own}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def slurm_programs() -> None:
    """What ``flow slurm sandbox`` starts."""
    need_slurm()


@pytest.mark.parametrize("page", [p for p in PAGES if _runs(p)], ids=_name)
def test_every_block_runs_and_prints_what_the_page_says(
    page: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    if _name(page) in NEEDS:
        request.getfixturevalue(NEEDS[_name(page)])
    folder = tmp_path_factory.mktemp("flow-docs-", numbered=True)
    wrong = [
        f"{_name(page)}:{trouble.line}\n{trouble.text}"
        for _, trouble, _ in blocks.run_page(page.read_text(encoding="utf-8"), folder)
        if trouble is not None
    ]
    assert not wrong, "\n\n".join(wrong) + "\n\nIf the new output is right: docs/blocks.py PAGE"


@pytest.mark.parametrize(
    ("page", "real", "same"),
    [
        ("took 3 ms", "took 1.5 s", True),
        ("took 3 ms", "took long", False),
        ("a\n...\nc", "a\nb\nb\nc", True),
        ("a\n...\nc", "a\nb", False),
        ("a ... c", "a b b c", True),
        ("2026-01-01 00:00:00 b\n2026-01-01 00:00:00 a", "2027-01-01 09:00:00 a", False),
        (
            "2026-01-01 00:00:00 b\n2026-01-01 00:00:00 a",
            "2027-01-01 09:00:00 a\n2027-01-01 09:00:01 b",
            True,
        ),
        ("a\nb", "b\na", False),
        ("", "", True),
        ("", "something", False),
    ],
)
def test_output_is_compared(page: str, real: str, same: bool) -> None:
    assert (blocks.compare(page, real) == "") == same


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_make_targets_of_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    code = [block.body for block in blocks.blocks(text)] + re.findall(r"`([^`\n]+)`", text)
    named = {m for part in code for m in re.findall(r"^make ([a-z-]+)", part, re.MULTILINE)}
    assert named <= targets


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for found in LINK.finditer(text):
        target = found.group(1) or found.group(2)
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), f"{_name(page)} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path), f"{_name(page)} links to {target}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_names_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:^|[\s`(])/(?:work|root|Users|home/(?!ada/flows))/\S*", text)


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/.-]+\.md", nav))
    pages = {p.relative_to(DOCS) for p in DOCS.rglob("*.md")}
    assert named == {str(p) for p in pages if p.parts[0] != "parity.d"}  # pieces of a page


# --- the reference ------------------------------------------------------------------------------


def test_generated_pages_are_up_to_date() -> None:
    stale = list(_script("generate").stale())
    assert not stale, f"run: python docs/generate.py (out of date: {', '.join(stale)})"


def _hooks() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("flow_")]


@pytest.mark.parametrize("name", _hooks())
def test_every_hook_is_described(name: str) -> None:
    hook = getattr(hookspecs, name)
    assert "Process: " in (hook.__doc__ or ""), "say in which process it is called"
    assert "Since " in (hook.__doc__ or ""), "say since when it exists"


def _methods() -> Iterator[tuple[str, str]]:
    for cls in vars(interfaces).values():
        if isinstance(cls, type) and cls.__module__ == interfaces.__name__:
            for name in [n for n in vars(cls) if not n.startswith("_")]:
                value = getattr(cls, name)
                if inspect.isfunction(value) or isinstance(value, property):
                    yield cls.__name__, name


@pytest.mark.parametrize(("cls", "name"), list(_methods()))
def test_every_method_of_a_provider_is_described(cls: str, name: str) -> None:
    found = re.search(rf"\[`{cls}`\]\(\.\./(plugins/\w+\.md)#", _read("reference/providers.md"))
    assert found, "name it in docs/kinds.py"
    page = _read(found.group(1))
    assert f"### `{cls}` (" in page
    method = getattr(getattr(interfaces, cls), name)
    _, found, text = page.partition(f"#### `{cls}.{name}`\n")
    assert found
    if isinstance(method, property):
        method = method.fget
    signature = str(inspect.signature(method)).replace("(self, ", "(").replace("(self)", "()")
    assert _compact(f"def {name}{signature}") in _compact(text)


def test_every_group_of_entry_points_is_described() -> None:
    described = {g for g in kinds.GROUPS if f"| `{g}` |" in _read("plugins/index.md")}
    assert {e.group for e in installed().entry_points} <= described


@pytest.mark.parametrize("kind", kinds.ALL, ids=lambda kind: str(kind.page))
def test_the_page_of_a_kind_names_every_case_of_its_suite(kind: Any) -> None:
    page = _read(f"plugins/{kind.page}.md")
    if kind.suite:
        suite = kind.helper(kind.suite)
        cases = [name for name in vars(suite) if name.startswith("test_")]
        assert [case for case in cases if f"* `{case}`" not in page] == []


def test_every_suite_is_on_the_page_of_its_kind() -> None:
    suites = {name for name in testing.__all__ if name.endswith("Suite")}
    suites.remove("NetworkStoreSuite")  # a second one for stores, on the page of testing
    assert "NetworkStoreSuite" in _read("plugins/testing.md")
    assert suites <= {kind.suite for kind in kinds.ALL}


def test_each_plugin_that_is_no_default_one_says_how_it_is_used() -> None:
    by_hand = _read("plugins/ready-made.md").partition("<!-- generated -->")[0]
    names = {str(one["name"]) for one in shipped.shipped()} - shipped.brought()
    assert names == set(re.findall(r"^\| `(flow-[\w-]+)` \|", by_hand, re.MULTILINE))


def test_shipped_plugins_are_left_out_by_the_names_that_the_page_tells() -> None:
    said = re.findall(r"`-p no:([\w-]+)` \|$", _read("plugins/ready-made.md"), re.MULTILINE)
    seen = [one for one in shipped.shipped() if one.get("entry-points")]
    assert [f"flow-{name}" for name in sorted(said)] == [one["name"] for one in seen]
    assert set(said) <= set(installed().plugins())


# --- what people see of remote steps ------------------------------------------------------------

SAYING = (
    "core/src",
    "plugins/remote",
    "plugins/compute_*",
    "plugins/store_fsspec",
    "tests/servers",
)
"""Where the texts of the page stand: in our code, or in the tests that have heard them from a cluster."""


def _said() -> str:
    """Return all texts of that code, without what is put into them."""
    found = []
    for folder in (folder for pattern in SAYING for folder in ROOT.glob(pattern)):
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                    text = (
                        node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                    )
                    found.append(" ".join(text.split()))
    return "\n".join(found)


def test_what_the_page_of_troubles_quotes_is_what_people_see() -> None:
    rows = [
        re.split(r"(?<!\\)\|", line)[1]
        for line in _read("remote-troubleshooting.md").splitlines()
        if line.startswith("| ")
    ]
    quoted = [span for row in rows for span in re.findall(r"`([^`]+)`", row)]
    parts = [part.strip(" :,") for span in quoted for part in span.split("…")]
    assert len(parts) > 50
    said = _said()
    assert [part for part in parts if part not in said] == []


# --- a heading with the exact signature for everything ------------------------------------------


@pytest.fixture(scope="module")
def headings() -> dict[str, str]:
    """Return the headings of all pages, each with the first line of code below it, or ``""``."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)[1:]
        for heading, body in zip(parts[::2], parts[1::2], strict=True):
            code = re.search(r"^```\w*\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
            found[heading] = code.group(1) if code else ""
    return found


def _session() -> Session:
    session = Session(None, settings=Settings({"HOME": "/nowhere"}, "/"))
    session.load_hooks(session.index.names("flow.decorator_hooks"))
    session.plugins.require_sound()
    return session


def test_every_hook_has_a_heading_with_its_signature(headings: dict[str, str]) -> None:
    callers = vars(_session().plugins.manager.hook)
    declared = [c.spec for name, c in callers.items() if not name.startswith("_") and c.spec]
    assert {spec.name for spec in declared} >= set(_hooks())
    for spec in declared:
        head = f"def {spec.name}{inspect.signature(spec.function)}"
        assert _compact(headings[f"`{spec.name}`"]) == _compact(head)


def test_every_setting_has_a_heading_with_its_signature(headings: dict[str, str]) -> None:
    for one in _session().settings.declared():
        default = "processors" if one.name == "max_workers" else repr(one.default)
        assert f"`{one.name}: {one.type.__name__} = {default}`" in headings
        assert f"`{one.name}`](reference/settings.md#" in _read("settings.md")


def test_every_option_of_a_decorator_has_a_heading_with_its_signature(
    headings: dict[str, str],
) -> None:
    for name in installed().names("flow.decorators"):
        options = describe_options(installed().load("flow.decorators", name).options)
        texts = [f"{o.name}: {o.type}{'' if o.required else f' = {o.default!r}'}" for o in options]
        assert headings[f"`@{name}`"] == f"@{name}({', '.join(texts)})\n"
        for text in texts:
            assert f"`@{name}({text})`" in headings


def test_every_command_has_a_heading_with_its_usage_and_all_options(
    headings: dict[str, str],
) -> None:
    generate = _script("generate")
    for name in installed().names("flow.commands"):
        shown = headings[f"`flow {name}`"]
        context = generate.built(name)
        parts = [context.command]
        if isinstance(context.command, click.Group):
            names = context.command.list_commands(context)
            parts += [context.command.get_command(context, part) for part in names]
        assert shown.startswith(context.get_usage())
        options = [o for part in parts for o in part.params if isinstance(o, click.Option)]
        texts = [text for o in options if not o.hidden for text in (*o.opts, *o.secondary_opts)]
        assert [text for text in texts if text not in shown] == [], name


def _shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of flow in blocks that are only shown, as (where, words)."""
    for page in PAGES:
        for block in blocks.blocks(page.read_text(encoding="utf-8")):
            lines = block.body.splitlines() if block.language == "sh" else []
            for number, line in enumerate(lines, block.line + 1):
                if line.startswith("flow "):
                    words = shlex.split(line.partition(" | ")[0], comments=True)
                    yield f"{_name(page)}:{number}", words[1:]


@pytest.mark.parametrize(("where", "words"), list(_shown_commands()), ids=str)
def test_commands_that_are_only_shown_have_such_options(where: str, words: list[str]) -> None:
    name, *rest = words
    context = _script("generate").built(name)
    if installed().load("flow.commands", name).needs_flow:
        assert rest.pop(0).endswith(".py"), where
    command = context.command
    if isinstance(command, click.Group):
        name = rest.pop(0)
        part = command.get_command(context, name)
        assert part is not None, f"{where}: there is no '{name}'"
        command = part
    try:
        command.make_context(name, rest, parent=context)
    except click.ClickException as error:
        pytest.fail(f"{where}: {error.format_message()}")


def test_the_tree_of_errors_is_complete_and_right() -> None:
    """Each class of `flow_core.api` stands below the one that it derives from."""
    tree = next(b.body for b in blocks.blocks(_read("errors.md")) if b.body.startswith("FlowError"))
    parents: dict[str, str] = {}
    above = ["FlowError"]
    for line in tree.splitlines()[1:]:
        name = line.lstrip("│├└─ ").partition(" ")[0]
        depth = line.index(name) // 4
        parents[name] = above[depth - 1]
        above[depth:] = [name]
    classes = [getattr(api, name) for name in api.__all__]
    errors = [c for c in classes if isinstance(c, type) and issubclass(c, api.FlowError)]
    assert parents == {c.__name__: c.__base__.__name__ for c in errors if c is not api.FlowError}


# --- the map ------------------------------------------------------------------------------------


def _tree() -> Iterator[tuple[str, str]]:
    """Yield (path, comment) of the annotated tree in the page for contributors."""
    block = next(b for b in blocks.blocks(_read("contributing.md")) if b.body.startswith("core/"))
    folders: list[str] = []
    for line in block.body.splitlines():
        found = re.match(r"( *)(\S+) {2,}(.+)$", line)
        assert found, line
        depth = len(found.group(1)) // 2
        folders[depth:] = [found.group(2)]
        yield "".join(folders), found.group(3)


def test_every_path_of_the_tree_exists() -> None:
    for path, _ in _tree():
        assert (ROOT / path).exists(), path


def test_the_tree_names_every_module_and_plugin() -> None:
    named = {path for path, _ in _tree()}
    for module in CORE.glob("*.py"):
        assert str(module.relative_to(ROOT)) in named
    for plugin in (ROOT / "plugins").glob("*/pyproject.toml"):
        assert f"{plugin.parent.relative_to(ROOT)}/" in named


def test_line_counts_of_the_reading_order_are_about_right() -> None:
    rows = re.findall(
        r"^\| \d+ \| `([\w./]+)` \| ([\d,]+) \|", _read("contributing.md"), re.MULTILINE
    )
    assert len(rows) >= 8
    for path, said in rows:
        count = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        stated = int(said.replace(",", ""))
        assert abs(count - stated) <= max(40, 0.3 * count), f"{path} has {count} lines"


def test_scripts_of_the_documentation_are_typed() -> None:
    for script in DOCS.glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None, f"{script.name}: {node.name}"
