"""How the threads of a step wait for each other on a CPU: asleep, where there are few processors.

In: the environment, before torch is imported. Out: the same, with a setting of the library of torch's threads, libgomp.
By default a thread that waits for another turns in a loop for some milliseconds. Where the other has lost its processor
to another program (a browser, a tool that runs beside the model), this takes time from both: steps become five to sixty
times slower, by measurement (kernels/LOG.md). Above: `hogwild` itself, before anything else of it is imported.
"""

from __future__ import annotations

import os

FEW_PROCESSORS = 4
"""Up to so many; waking more of them costs more, and has not been measured."""


def wait_asleep() -> None:
    """Unless a person has said how threads wait. Without effect where torch has been imported already."""
    chosen = "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    if not chosen and len(os.sched_getaffinity(0)) <= FEW_PROCESSORS:
        os.environ["GOMP_SPINCOUNT"] = "0"
