"""The helpers of this folder stand beside the tests and are imported by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # tests/ is no package, so they are found by path
