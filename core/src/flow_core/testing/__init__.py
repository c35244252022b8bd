"""Conformance suites and fakes for authors of plugins. Needs pytest, which flow-core does not."""
