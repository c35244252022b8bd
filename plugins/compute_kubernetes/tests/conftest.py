"""What the tests of the plugin share."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # for kube_jobs
