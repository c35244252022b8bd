"""What holds for all tests of the repository."""

import signal
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent / "tests"))
pytest_plugins = ["servers"]  # real servers, for the tests of all distributions

# A shell may have them ignored (`nohup make test`, `make test &`), and what a test starts would
# inherit that.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes nothing wrong: how long an example takes is no matter of these tests.
settings.register_profile(
    "flow-core",
    deadline=None,
    derandomize=False,  # also in CI: what is random stays random
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flow-core")
