"""The sandbox's rows of `make bench`: what a call in a locked-down process costs on top of its own code.

In: nothing. Out: `bench_rows.Row` values, none where this machine cannot isolate. Neighbours: `toolsets.sandbox`.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolsets.sandbox import Sandbox, probe
from workbench.bench_rows import Row, row, seconds

SOURCE = "def identity(x):\n    return x\n"


def rows(quick: bool) -> Iterator[Row]:
    isolation = probe()
    if not isolation.isolated:
        return
    for kind, warm, bar, calls in (("warm", 1, "<= 30", 50), ("cold", 0, "<= 300", 15)):
        with Sandbox(isolation=isolation, warm=warm) as sandbox:

            def call(sandbox: Sandbox = sandbox) -> None:
                outcome = sandbox.call_sync(SOURCE, "identity", {"x": 1})
                assert outcome.value == 1, outcome

            call()
            yield row(
                f"ms of a {kind} sandboxed call",
                [seconds(call) * 1000 for _ in range(calls // 3 if quick else calls)],
                bar,
                f"the code only returns its argument, so this is all on top; isolation: {isolation}; "
                + ("a fork of a server that waits" if warm else "an interpreter of its own for every call"),
            )
