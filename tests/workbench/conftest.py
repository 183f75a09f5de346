"""The helpers of this folder stand beside the tests and are imported by name."""

import sys
from pathlib import Path

import pytest

from workbench import front_end

sys.path.append(str(Path(__file__).parent))  # tests/ is no package, so they are found by path


@pytest.fixture(scope="session", autouse=True)
def front_end_is_built() -> None:
    """`make test` has built it already; a bare `pytest` after a change does it here."""
    if not front_end.is_current():
        front_end.main()
