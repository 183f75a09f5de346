"""The server's row of `make bench`: how long a page that is loaded anew waits for the whole of a long run.

In: nothing. Out: `bench_rows.Row` values. The run is made up: 200,000 steps of four workers, as stored. What is
measured is the server's stream up to the last frame, without the network and the browser, whose view core folds as
many events in under a second. Neighbours: `workbench.server.stream`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench import events as ev
from workbench.bench_rows import Row, row, seconds
from workbench.log import RunLog

EVENTS = 200_000
NAMES = ("Alice", "Bob", "Carol", "Dave")


def rows(quick: bool) -> Iterator[Row]:
    from workbench.server.stream import stream

    count = EVENTS // 10 if quick else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder) / "runs.sqlite3")
        with log.open_run("long", "a long run", "embedded") as writer:
            for step in range(count):
                tokens = [
                    ev.WorkerTokens(worker=n, block=i, ids=[step % 500], text=" word") for i, n in enumerate(NAMES)
                ]
                writer.append(ev.TokensAdded(step + 1, tokens))
        sent: list[int] = []

        async def send(frame: str) -> None:
            sent.append(len(frame))

        def whole() -> None:
            tail = log.tail("long")
            try:
                asyncio.run(stream(tail, send))
            finally:
                tail.close()

        yield row(
            f"s until a run of {count:,} events is sent whole",
            [seconds(whole) for _ in range(3)],
            "<= 2",
            "the stored text is passed on as it is, in frames of at most 5,000 events; a page that is loaded anew gets "
            "all of it and no snapshot, so that every step can be scrubbed to",
        )
