"""Exceptions of the flow's own, derived from the tool's."""

from metaflow import FlowSpec, step
from metaflow.exception import (
    MetaflowException,
    MetaflowInternalError,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
)

EXPECTED = {
    "told": ("No budget", "only 3 left"),
    "line": 7,
    "texts": ["Object not found", "Object not in the current namespace", "Internal error"],
}


class BudgetException(MetaflowException):
    headline = "No budget"

    def __init__(self, left):
        super(BudgetException, self).__init__("only %d left" % left)
        self.left = left


class ExceptionFlow(FlowSpec):
    @step
    def start(self):
        try:
            raise BudgetException(3)
        except MetaflowException as ex:
            self.told = (ex.headline, ex.message)
        self.line = MetaflowException("msg", 7).line_no
        kinds = [
            MetaflowNotFound("x"),
            MetaflowNamespaceMismatch("user:x"),
            MetaflowInternalError("y"),
        ]
        self.texts = [ex.headline for ex in kinds]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ExceptionFlow()
