"""How the threads of a step wait for each other on a CPU: awake for a moment, then asleep.

In: the environment, before torch is imported. Out: the same, with a setting of the library of torch's threads, libgomp.
By default a thread that waits for another turns in a loop for some milliseconds. Where the other has lost its processor
to another program (a browser, a tool that runs beside the model), this takes time from both: steps become many times
slower. Asleep at once, it has to be woken for every part of a step, which takes half as long again on a quiet machine
(both measured: kernels/LOG.md). Above: `hogwild` itself, before anything else of it is imported.
"""

from __future__ import annotations

import os

TURNS = 4000
"""Of the loop, some 80 microseconds: longer than threads wait for each other within a step, and much less than a slice
of a processor's time."""


def wait_briefly() -> None:
    """Unless a person has said how threads wait. Without effect where torch has been imported already."""
    if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
        os.environ["GOMP_SPINCOUNT"] = str(TURNS)
