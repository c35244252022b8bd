"""What holds for all tests of the repository."""

from hypothesis import HealthCheck, settings

# A busy machine makes nothing wrong: how long an example takes is no matter of these tests.
settings.register_profile(
    "flow-core",
    deadline=None,
    derandomize=False,  # also in CI: what is random stays random
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flow-core")
