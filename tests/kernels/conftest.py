"""The kernels' tests: `kernel_cases` is imported by this process and by the one that runs Triton's interpreter."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
