"""flow-objectstore: what stores on object storage have in common.

A store of one service subclasses `flow_objectstore.store.ObjectStore` and says how its client is
made, and what its errors mean for a person.
"""
