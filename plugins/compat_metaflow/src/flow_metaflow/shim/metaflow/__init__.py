"""Stands for ``metaflow`` in the Python processes that a flow starts: see `flow_metaflow.finder`.

This folder is on no path but that of such processes. It hands over to the same names that the flow
itself sees.
"""

import sys

import flow_metaflow

del sys.modules[__name__]
flow_metaflow.install()
sys.modules[__name__] = __import__(__name__)
