"""The kinds of plugins that ``flow plugins new`` writes, and what differs between them."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of plugin. Texts may hold names in double braces, see `flow_plugins.new_files`.

    Attributes:
        name: the word after ``--kind``.
        noun: what one is called.
        summary: one line for the list of kinds.
        group: its entry-point group.
        provided: the name in that group.
        value: what the entry point names.
        source: the file of the package that holds it, ``""`` where that is the package itself.
            Templates have the names of the files.
        suite: what its tests inherit, in `flow_core.testing` or that of the plugin it needs.
        description: one line for ``pyproject.toml``.
        about: the first paragraph of the README.
        commands: lines of the README's example.
        output: what these print, among other lines.
        try_it: how a single file is used at once.
        decorated: whether the package is a decorator, too, with hooks in a file of their own.
        requires: short names of plugins that it needs, and that flow-core does not bring.
        more: further files: path, and what it is for.
    """

    name: str
    noun: str
    summary: str
    group: str
    provided: str
    value: str
    source: str
    suite: str
    description: str
    about: str
    commands: str
    output: str
    try_it: str
    decorated: bool = False
    requires: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


_DECORATOR = Kind(
    name="decorator",
    noun="decorator",
    summary="what a step asks for, @name(option=value), and hooks that do it",
    group="flow.decorators",
    provided="{{module}}",
    value="{{package}}:{{module}}",
    source="",
    suite="DecoratorSuite",
    description="The decorator {{module}} tells how long a step took.",
    about="""\
`@{{module}}` tells how long a step took, and warns when that was more than `warn_after` seconds (60).
The time is kept in the manifest of the attempt, too. For all steps of a flow there is
`--with {{module}}:warn_after=30`.""",
    commands="python examples/{{module}}_flow.py run",
    output="[{{name}}] step start took 0.\nthe total is 499500",
    try_it="flow run my_flow.py --with {{module}}:warn_after=30",
    decorated=True,
)

_COMPUTE = Kind(
    name="compute",
    noun="compute provider",
    summary="where tasks run: it starts attempts, and tells what becomes of them",
    group="flow.computes",
    provided="{{name}}",
    value="{{package}}.compute:{{Class}}Compute",
    source="compute.py",
    suite="ComputeSuite",
    description="The compute provider {{name}} runs each task as a process of its own.",
    about="""\
The compute provider `{{name}}` runs each attempt as a process of its own on this machine, and shows and
keeps what it writes. It is chosen by `--compute {{name}}`, by `FLOW_COMPUTE={{name}}`, or in
`pyproject.toml`: `[tool.flow] compute = "{{name}}"`. It starts no gangs, and heeds no limits of memory.""",
    commands="python examples/{{module}}_flow.py --compute {{name}} run",
    output="the sum is 14",
    try_it="flow --compute {{name}} run my_flow.py",
)

_STORE = Kind(
    name="store",
    noun="store",
    summary="where artifacts, manifests, logs and code are kept: bytes under keys",
    group="flow.stores",
    provided="{{name}}",
    value="{{package}}.store:{{Class}}Store",
    source="store.py",
    suite="StoreSuite",
    description="The store {{name}} keeps all objects in one SQLite file.",
    about="""\
The store `{{name}}` keeps all objects in one SQLite file. It is chosen by
`--datastore {{name}}://objects.db`, by `FLOW_DATASTORE`, or in `pyproject.toml` by `[tool.flow] datastore`.
Processes of one machine share it; others do not reach it.""",
    commands="""\
python examples/{{module}}_flow.py --datastore {{name}}://objects.db run
flow --datastore {{name}}://objects.db dump {{Class}}Flow/1/start""",
    output="the sum is 6\n  numbers",
    try_it="flow --datastore {{name}}://objects.db run my_flow.py",
)

_METADATA = Kind(
    name="metadata",
    noun="metadata provider",
    summary="the index that finds runs and tasks; a store can make it anew",
    group="flow.metadata",
    provided="{{name}}",
    value="{{package}}.metadata:{{Class}}Metadata",
    source="metadata.py",
    suite="MetadataSuite",
    description="The metadata provider {{name}} keeps an index over runs in one SQLite file.",
    about="""\
The metadata provider `{{name}}` keeps the index over runs in one SQLite file: records as JSON, questions
answered in Python, which is good for some thousands of runs of a flow. It is chosen by
`--metadata {{name}}://index.db`, by `FLOW_METADATA`, or in `pyproject.toml` by `[tool.flow] metadata`.""",
    commands="""\
python examples/{{module}}_flow.py --metadata {{name}}://index.db run
flow --metadata {{name}}://index.db runs""",
    output="the sum is 6\n{{Class}}Flow/1",
    try_it="flow --metadata {{name}}://index.db run my_flow.py",
)

_ENVIRONMENT = Kind(
    name="environment",
    noun="provider of environments",
    summary="the Python in which a step's tasks run, and its packages",
    group="flow.environments",
    provided="{{name}}",
    value="{{package}}.environment:{{Class}}Environment",
    source="environment.py",
    suite="EnvironmentSuite",
    description="The environment provider {{name}} gives steps some of the packages that are here.",
    about="""\
`@{{module}}(packages=["packaging"])` runs a step in a virtual environment with these packages, and what
they need, in the versions that are installed here; nothing is downloaded. `--environment {{name}}` runs
all steps that ask for no other in one without packages, `--environment local` all in the Python that you
type. It is built once, and kept in `~/.cache/flow`.""",
    commands="python examples/{{module}}_flow.py run",
    output="packaging is there\npytest is not there",
    try_it="flow --environment {{name}} run my_flow.py",
    decorated=True,
)

_COMMAND = Kind(
    name="command",
    noun="command",
    summary="a word after 'flow', with options of its own",
    group="flow.commands",
    provided="{{name}}",
    value="{{package}}.command:command",
    source="command.py",
    suite="CommandSuite",
    description="The command {{name}} says how the runs of each flow ended.",
    about="""\
`flow {{name}}` says how the runs of each flow ended, `flow {{name}} FLOW` how those of one did. `--limit` is
how many runs are looked at, and `--json` is for programs.""",
    commands="python examples/{{module}}_flow.py run\nflow {{name}}",
    output="{{Class}}Flow: 1 succeeded",
    try_it="flow {{name}}",
)

_SERIALIZER = Kind(
    name="serializer",
    noun="serializer",
    summary="how values of some types become bytes, without pickle",
    group="flow.serializers",
    provided="decimal.{{name}}",
    value="{{package}}.serializer:{{Class}}Serializer",
    source="serializer.py",
    suite="SerializerSuite",
    description="The serializer {{name}} keeps decimals as text.",
    about="""\
Artifacts that are a `decimal.Decimal` are stored as text, exactly, and are read without running code, as
unpickling does. Nothing is to be chosen: what is installed is used. Who reads such an artifact needs this
plugin, too.""",
    commands="python examples/{{module}}_flow.py run\nflow dump {{Class}}Flow/1/start",
    output="three cost 37.50\n  price",
    try_it="flow run my_flow.py",
)

_SECRETS = Kind(
    name="secrets",
    noun="provider of secrets",
    summary="where @secrets(sources=[…]) finds what it is asked for",
    group="flow.secrets",
    provided="{{name}}",
    value="{{package}}.secrets:{{Class}}Secrets",
    source="secrets.py",
    suite="SecretsSuite",
    description="The provider of secrets {{name}} reads the files of one folder.",
    about="""\
`@secrets(sources=["{{name}}.db-password"])` reads the file `db-password` in `/run/secrets`, where
containers get their secrets; `FLOW_{{MODULE}}_FOLDER` names another folder. The step finds it as the
variable `DB_PASSWORD`; the option `variable` gives it another name.""",
    commands="FLOW_{{MODULE}}_FOLDER=examples/mounted python examples/{{module}}_flow.py run",
    output="the password has 8 characters",
    try_it="flow run my_flow.py",
    more=(("examples/mounted/db-password", "what the example's step is to find"),),
)

_CARD = Kind(
    name="card",
    noun="type of card",
    summary="what @card(type=…) shows of a task, as a page of HTML",
    group="flow.cards",
    provided="{{name}}",
    value="{{package}}.card:{{module}}",
    source="card.py",
    suite="CardSuite",
    description="The card {{name}} shows the numbers that a step has set.",
    about="""\
`@card(type="{{name}}")` leaves a page with the numbers that a step has set, and what it added with
`current.card`. `options={"title": "How good it is"}` is its heading. `flow card view start` shows it.""",
    commands="python examples/{{module}}_flow.py run\nflow card list {{Class}}Flow/1",
    output="{{Class}}Flow/1/start/1  {{name}}",
    try_it="flow run my_flow.py --with card:type={{name}}",
    requires=("cards",),
)

KINDS = {
    kind.name: kind
    for kind in (
        _DECORATOR,
        _COMPUTE,
        _STORE,
        _METADATA,
        _ENVIRONMENT,
        _COMMAND,
        _CARD,
        _SERIALIZER,
        _SECRETS,
    )
}
