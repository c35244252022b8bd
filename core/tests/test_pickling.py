"""Objects of the flow's own file: equal bytes in any folder, and the right class when they are read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flow_core.flowfile import load_flow
from flow_core.pickling import PickleSerializer
from flow_core.testing.flowtester import main_kept

SOURCE = """
from dataclasses import dataclass

from flow_core import FlowSpec, step


def twice(number):
    return 2 * number


@dataclass
class Row:
    number: int

    def double(self):
        return twice(self.number)


class {flow}(FlowSpec):
    @step(start=True, end=True)
    def only(self):
        pass
"""


def load(folder: Path, name: str, flow: str = "F", source: str = SOURCE):
    """Load a flow file as the main program; return its class `Row`."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source.format(flow=flow))
    return vars(sys.modules[load_flow(str(file)).__module__])


def stored(value) -> list[bytes]:
    return [bytes(part) for part in PickleSerializer().dump(value)]


@pytest.fixture(autouse=True)
def _main():
    with main_kept():
        yield


def test_equal_bytes_in_another_folder(tmp_path):
    found = []
    for folder in ("a", "b/c"):
        sys.path.insert(0, str(tmp_path))  # where modules are found does not count
        names = load(tmp_path / folder, "flow.py")
        found.append(stored([names["Row"](3), names["twice"], lambda: 3]))
    assert found[0] == found[1]


def test_the_flow_gets_its_own_class_wherever_its_file_lies(tmp_path):
    parts = stored(load(tmp_path / "a", "flow.py")["Row"](3))
    names = load(tmp_path / "b", "flow.py", source=SOURCE + "\nCHANGED = True\n")
    value = PickleSerializer().load(parts)
    assert type(value) is names["Row"]


@pytest.mark.parametrize(("name", "flow"), [("flow.py", "Other"), ("other.py", "F")])
def test_another_flow_gets_the_class_that_was_stored(tmp_path, name, flow):
    parts = stored(load(tmp_path / "a", "flow.py")["Row"](3))
    names = load(tmp_path / "b", name, flow, SOURCE.replace("2 * number", "9 * number"))
    value = PickleSerializer().load(parts)
    assert type(value) is not names["Row"]
    assert value.double() == 6


def test_what_was_stored_with_the_path_of_the_file(tmp_path):
    import pickle

    names = load(tmp_path / "a", "flow.py")
    from flow_core.pickling import payload_of, restore_local

    place = str(tmp_path / "a/flow.py")
    assert restore_local(place, "__main__", "Row", payload_of(names["Row"])) is names["Row"]
    other = restore_local(str(tmp_path / "x.py"), "__main__", "Row", payload_of(names["Row"]))
    assert other is not names["Row"]
    assert pickle.loads(payload_of(names["twice"]))(4) == 8
