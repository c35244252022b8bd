"""flow-remote: what flow's compute providers for other machines have in common.

A library for plugins: `flow_remote.backend` says what a cluster must do, `flow_remote.provider` makes a
compute provider of it.
"""
