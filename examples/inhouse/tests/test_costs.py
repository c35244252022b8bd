"""``flow costs``: the suite that all commands pass, and what this one computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow_acme.costs import command
from flow_acme.prices import Prices, Rates, read_prices
from flow_core.api import AttemptState, Command, Manifest, SettingsError
from flow_core.testing import CommandSuite, FlowTester

TABLE = """\
currency = "EUR"

[default]
cpu_hour = 3600.0  # one second: 1 EUR
gb_hour = 0.0

[machines."gpu-*"]
cpu_hour = 7200
gb_hour = 3600
"""
FLOW = """
    from flow_core import FlowSpec, current, retry, step

    class F(FlowSpec):
        @retry(times=1)
        @step
        def start(self):
            sum(range(3_000_000))
            assert current.retry_count
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
    """


class TestConformance(CommandSuite):
    examples = ((), ("SuiteFlow",), ("SuiteFlow/1",), ("--limit", "3"))
    mistakes = (
        ("SuitFlow",),
        ("SuiteFlow/7",),
        ("SuiteFlow/",),
        ("--limit", "0"),
        ("--prices", "none.toml"),
    )

    @pytest.fixture
    def command(self) -> Command:
        return command

    @pytest.fixture(autouse=True)
    def prices(self, flowtester: FlowTester) -> None:
        (flowtester.path / "prices.toml").write_text(TABLE, encoding="utf-8")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    """Return a folder where a flow has run once, whose first step succeeds when tried again."""
    tester = FlowTester(tmp_path_factory.mktemp("costs"))
    tester.more_plugins = ["acme"]
    (tester.path / "prices.toml").write_text(TABLE, encoding="utf-8")
    tester.python(tester.write(FLOW), "run").check()
    return tester


class TestCommand:
    def test_cost_is_price_times_use(self, lab: FlowTester) -> None:
        shown = json.loads(lab.flow("costs", "--json").check().stdout)
        attempts = lab.left(1).manifests("start")
        assert len(attempts) == 2
        start, end = shown["steps"]
        assert start["attempts"] == 2
        assert start["cost"] == pytest.approx(sum(m.cpu_seconds for m in attempts))
        assert start["wasted"] == pytest.approx(attempts[0].cpu_seconds) != 0
        assert start["memory"] == max(m.peak_memory for m in attempts) > 1_000_000
        assert end["wasted"] == 0
        assert shown["cost"] == pytest.approx(start["cost"] + end["cost"])
        assert (shown["currency"], shown["wasted"]) == ("EUR", start["wasted"])

    def test_the_table(self, lab: FlowTester) -> None:
        lines = lab.flow("costs").check().stdout.splitlines()
        assert lines[0].split() == ["RUN", "STEP", "ATTEMPTS", "CPU", "MEMORY", "COST", "WASTED"]
        assert [line.split()[:2] for line in lines[1:4]] == [
            ["F/1", "start"],
            ["F/1", "end"],
            ["F/1", "all"],
        ]
        assert {line.index(line.split()[1]) for line in lines[:4]} == {lines[0].index("STEP")}
        assert lines[4] == ""
        assert lines[5].endswith(" EUR")
        assert all(line == line.rstrip() for line in lines)

    def test_a_flow_file_asks_for_its_own_runs(self, lab: FlowTester) -> None:
        other = lab.write(FLOW.replace("class F(", "class G(").replace("F()", "G()"), "g.py")
        assert "F/1" not in lab.python(other, "costs").check().stdout
        assert "F/1" in lab.python(lab.path / "flow.py", "costs").check().stdout

    def test_near_misses(self, lab: FlowTester) -> None:
        assert lab.flow("costs", "f").error["try"] == "did you mean 'F'?"
        done = lab.flow("costs", "F/7")
        assert (done.returncode, done.error["error"]) == (1, "There is no run F/7")
        assert done.error["try"] == "latest runs: 1"
        done = lab.flow("costs", "F/1/start")
        assert (done.returncode, done.error["try"]) == (2, "flow costs F   flow costs F/1")

    def test_the_setting_names_the_table(self, lab: FlowTester) -> None:
        (lab.path / "free.toml").write_text("[default]\ncpu_hour = 0\ngb_hour = 0\n")
        done = lab.flow("costs", variables={"FLOW_ACME_PRICES": "free.toml"}).check()
        assert done.stdout.splitlines()[-1] == "0.000000"


def attempt(**facts: Any) -> Manifest:
    usual = {"started": 100.0, "finished": 110.0, "cpu_seconds": 5.0, "peak_memory": 2 * 10**9}
    return Manifest("F", "1", "train", 2, 0, AttemptState.SUCCEEDED, **{**usual, **facts})


class TestPrices:
    prices = Prices("EUR", Rates(3600, 0), (("gpu-*", Rates(7200, 3600)), ("*", Rates(0, 0))))

    @pytest.mark.parametrize(
        ("facts", "cost"),
        [
            ({"host": "gpu-7"}, 5 * 2 + 2 * 10),  # processor, and gigabytes times seconds
            ({"host": "cpu-7"}, 0),  # the second pattern
            ({"host": "gpu-7", "finished": 90.0}, 10),  # a clock that was set back
            ({"host": "gpu-7", "origin": "F/0/train/2/0"}, 0),  # reused
        ],
    )
    def test_of_an_attempt(self, facts: dict[str, Any], cost: float) -> None:
        assert self.prices.of(attempt(**facts)) == pytest.approx(cost)

    def test_the_default_is_for_all_others(self) -> None:
        assert Prices("", Rates(3600, 0)).of(attempt(host="cpu-7")) == 5

    def test_a_table_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "prices.toml").write_text(TABLE)
        assert read_prices(str(tmp_path / "prices.toml")) == Prices(
            "EUR", Rates(3600.0, 0.0), (("gpu-*", Rates(7200.0, 3600.0)),)
        )

    @pytest.mark.parametrize(
        ("text", "what", "why", "hint"),
        [
            ("[default", "The price table is no TOML", "Expected ']'", "cpu_hour = 0.04"),
            ("", "The price table has no [default]", "", "[default]"),
            ("[default]\ngb_hour = 1", "[default] has no 'cpu_hour'", "", "cpu_hour = 0.04"),
            (
                TABLE.replace("gb_hour = 0.0", "gb_houre = 0.0"),
                "'gb_houre' means nothing in [default]",
                "",
                "did you mean 'gb_hour'",
            ),
            (
                TABLE.replace("7200", "-1"),
                "'cpu_hour' of [machines.gpu-*] is no price",
                "a price is a number, 0 or more, not -1",
                "cpu_hour = 0.04",
            ),
            (
                TABLE.replace("7200", "nan"),
                "'cpu_hour' of [machines.gpu-*] is no price",
                "a price is a number, 0 or more, not nan",
                "",
            ),
            (TABLE.replace('"EUR"', "3"), "'currency' of the price table is no word", "3", "EUR"),
            ("default = 3", "'default' of the price table is no table", "it is 3", "[default]"),
            (TABLE + "[machine]\n", "'machine' means nothing in the price table", "", "machines"),
        ],
    )
    def test_a_bad_table_is_an_error_in_four_parts(
        self, tmp_path: Path, text: str, what: str, why: str, hint: str
    ) -> None:
        path = tmp_path / "prices.toml"
        path.write_text(text)
        with pytest.raises(SettingsError) as caught:
            read_prices(str(path))
        error = caught.value
        assert (error.what, error.where) == (what, str(path))
        assert why in (error.why or "")
        assert hint in (error.hint or "")

    def test_a_missing_table_is_shown_how_to_write(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read") as caught:
            read_prices(str(tmp_path / "none.toml"))
        assert "[default]" in (caught.value.hint or "")

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "prices.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="cannot be read") as caught:
            read_prices(str(tmp_path / "prices.toml"))
        assert caught.value.why == "it is no text in UTF-8"
