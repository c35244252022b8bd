"""Orders of a week, by country: a flow as people at Acme write it."""

from datetime import date

import pandas

from flow_core import FlowSpec, Parameter, arrow, audited, retry, step


class OrdersFlow(FlowSpec):
    """Sum up the orders of a week."""

    week = Parameter("week", default=47, help="Number of the week.")

    @audited(purpose="orders of customers", values=True)
    @step
    def start(self):
        """Read the orders. A frame is kept as Arrow: no pickle, and columns keep their types."""
        monday = date.fromisocalendar(2026, self.week, 1)
        self.orders = pandas.DataFrame(
            {
                "country": pandas.Categorical(["NL", "FR", "NL", "PT", "FR", "NL"]),
                "day": pandas.date_range(monday, periods=6, freq="D"),
                "amount": [120.0, 80.5, 60.0, 200.0, 19.5, 45.0],
            }
        )
        self.next(self.sum_up)

    @arrow(format="parquet")  # what is kept for long is small
    @retry(times=1)
    @audited(purpose="report to the board")
    @step
    def sum_up(self):
        """Sum up by country."""
        by_country = self.orders.groupby("country", observed=True)["amount"]
        self.totals = by_country.sum().sort_values(ascending=False).reset_index()
        self.next(self.end)

    @step
    def end(self):
        """Show it."""
        for row in self.totals.itertuples():
            print(f"{row.country}  {row.amount:8.2f}")


if __name__ == "__main__":
    OrdersFlow()
