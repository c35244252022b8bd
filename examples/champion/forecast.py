"""Forecast with the champion: any script can read it, without the flow's file.

Usage: python forecast.py [DAY]
"""

from __future__ import annotations

import sys

from vega_datasets import local_data

from flow_core import Flow, FlowError


def main() -> None:
    """Print the forecast for the day after DAY."""
    day = sys.argv[1] if len(sys.argv) > 1 else "2015-06-30"
    try:
        run = Flow("ChampionFlow").latest_successful_run
    except FlowError as error:
        sys.exit(f"{error}\n\nRun the flow first: python champion_flow.py run")
    if run is None:
        sys.exit("No run of ChampionFlow was successful yet")
    weather = local_data.seattle_weather().set_index("date")
    (degrees,) = run.data.champion.forecast(weather.loc[[day]])
    print(f"After {day}: {degrees:.1f} °C at most, says the {run.data.champion}")


if __name__ == "__main__":
    main()
