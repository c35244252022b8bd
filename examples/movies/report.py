"""Print the table of the latest successful run of MoviesFlow, read through the client."""

from __future__ import annotations

import sys

from flow_core import Flow, get_cards


def main() -> int:
    """Print the report; exit status 1 when there is no run yet."""
    try:
        run = Flow("MoviesFlow").latest_successful_run
    except LookupError:  # the flow has never been run
        run = None
    if run is None:
        print("MoviesFlow has no successful run yet: python movies_flow.py run", file=sys.stderr)
        return 1
    table = run.data.table
    print(f"\nWorldwide gross in millions of dollars, by genre (run {run.pathspec})\n")
    print(f"  {'genre':<22}{'films':>7}{'unknown':>9}{'q1':>9}{'median':>9}{'q3':>9}")
    for row in table.itertuples():
        quartiles = "".join(f"{value / 1e6:>9.1f}" for value in (row.q1, row.median, row.q3))
        print(f"  {row.genre:<22}{row.films:>7,}{row.unknown:>9,}{quartiles}")
    for group, reason in run.data.refused_groups.items():
        print(f"\n  Refused: {group}: {reason}")
    file = "examples/movies/movies_flow.py"
    print(f"""
Run {run.pathspec} is stored in .flow. Try next:
  .venv/bin/flow show {file}
  .venv/bin/flow logs {run.pathspec}/quartiles
  .venv/bin/python {file} run --smallest 100 --with retry:times=1
""")
    for card in get_cards(run):
        print(f"Card of the run: {card.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
