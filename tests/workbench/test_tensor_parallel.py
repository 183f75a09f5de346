"""`workbench run --tensor-parallel 2`: real processes, one log, and Ctrl-C.

A whole run is in docs/big_models.md, which `tests/test_docs.py` types; what the engine computes is held to one process
in `tests/hogwild/test_ranks.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from workbench import Workbench
from workbench.events import RunFinished, RunStarted, TokensAdded, WorkerTokens
from workbench.log import RunLog
from workbench.paths import log_path

TASK = "1. What is the gcd of 84 and 126?\n2. Is 97 a prime number?"


def followers(parent: int) -> list[int]:
    """Processes of other ranks that this process has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            ours = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent
        except OSError:  # it has just ended
            continue
        if ours and b"hogwild.follower" in words:
            found.append(int(place.name))
    return found


def test_ctrl_c_ends_all_ranks_and_leaves_one_complete_log_with_the_tokens_of_one_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "run", TASK, "--tensor-parallel", "2"],
        env={**os.environ, "WORKBENCH_DATA_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(300, process.kill)
    guard.start()
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(("Alice:", "Bob:")))
        (other,) = followers(process.pid)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    finally:
        guard.cancel()
        process.kill()
    assert (process.returncode, err) == (130, "")
    assert not Path(f"/proc/{other}").exists()
    log = RunLog(log_path(tmp_path))
    (kept,) = log.runs()
    events = [event.payload for event in log.events(kept.run_id)]
    (started,) = (one for one in events if isinstance(one, RunStarted))
    assert started.settings["tensor_parallel"] == 2
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status in ("stopped", "solved")  # it may have been faster than the signal
    with Workbench(data_dir=tmp_path / "alone") as bench:
        whole = [event.payload for event in bench.run(TASK).events()]
    tokens, truth = _tokens(events), _tokens(whole)
    assert len(tokens) > 5
    assert tokens == truth[: len(tokens)]


def _tokens(events: list[object]) -> list[list[WorkerTokens]]:
    return [one.tokens for one in events if isinstance(one, TokensAdded)]
