"""The pytest plugin of flow-core: fixtures for testing flows and plugins."""
