"""Property tests here prove results, never speed: a busy machine must not fail them.

The helpers of this folder stand beside the tests and are imported by name.
"""

import sys
from pathlib import Path

from hypothesis import settings

settings.register_profile("results only", deadline=None)
settings.load_profile("results only")

sys.path.append(str(Path(__file__).parent))  # tests/ is no package, so they are found by path
