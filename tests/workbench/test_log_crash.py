"""The run log between processes: killed writers, followers elsewhere, full disks, locks that others hold.

Children run the scripts below and speak in lines: what they print is read as it comes, what they wait for is a line on
their standard input. Nothing sleeps; a child that hangs is killed after a minute, and its reader sees the end.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import LogError, LogLocked, UsageError
from workbench.event_json import to_json
from workbench.events import RunFinished, TokensAdded
from workbench.log import RunLog
from workbench.writer import BATCH_EVENTS, MAX_BATCHES

PATIENCE_S = 60.0
PRELUDE = """
import json, os, sys
from pathlib import Path
from workbench.errors import *
from workbench.event_json import to_json
from workbench.events import *
from workbench.log import RunLog

path = Path(sys.argv[1])

def say(*words):
    print(*words, flush=True)

def heard():
    return sys.stdin.readline().strip()

def step(number, text="a"):
    return TokensAdded(number, [{"worker": "Alice", "block": 3, "ids": [1], "text": text}])

def finished():
    metrics = {"steps": 1, "wall_s": 1.0, "tokens_per_s": 1.0, "cache_tokens": 1, "calls": 0, "workers": []}
    return RunFinished("solved", "42", [], metrics)
"""


class Child:
    """A process that runs a script against the log at `path`; it is dead when the test is over, or after a minute."""

    def __init__(self, script: str, path: Path, *arguments: str, under: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*under, sys.executable, "-c", PRELUDE + script, str(path), *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        self._watchdog.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ended_well(self) -> bool:
        return self.process.wait() == 0

    def clean_up(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._watchdog.cancel()


Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def start_one(script: str, *arguments: str, under: tuple[str, ...] = ()) -> Child:
        children.append(Child(script, tmp_path / "runs.sqlite3", *arguments, under=under))
        return children[-1]

    yield start_one
    for child in children:
        child.clean_up()


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    return RunLog(tmp_path / "runs.sqlite3")


def step(number: int, text: str = "a") -> TokensAdded:
    return TokensAdded(number, [{"worker": "Alice", "block": 3, "ids": [1], "text": text}])


def finished() -> RunFinished:
    return RunFinished(
        status="solved",
        answer="42",
        items=[],
        metrics={"steps": 1, "wall_s": 1.0, "tokens_per_s": 1.0, "cache_tokens": 1, "calls": 0, "workers": []},
    )


def assert_sound(log: RunLog) -> None:
    with closing(sqlite3.connect(log.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def numbers(log: RunLog, run_id: str) -> list[int]:
    return [event.seq for event in log.events(run_id)]


# Killed writers

WRITES_FOR_EVER = """
writer = RunLog(path).open_run("run-1", "task", "model")
number = 0
while True:
    for _ in range(50):
        number += 1
        writer.append(step(number, f"text {number}"))
    writer.flush()
    say(writer.append(step(number := number + 1, f"text {number}")).seq - 1)
"""


@pytest.mark.parametrize("batches", [1, 2, 17])
def test_a_killed_run_keeps_every_committed_batch_and_shows_as_interrupted(
    log: RunLog, start: Start, batches: int
) -> None:
    child = start(WRITES_FOR_EVER)
    committed = [int(child.line()) for _ in range(batches)][-1]
    assert log.summary("run-1").status == "running"
    child.kill()
    events = log.events("run-1")
    assert len(events) >= committed
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.payload for event in events] == [step(n, f"text {n}") for n in range(1, len(events) + 1)]
    summary = log.summary("run-1")
    assert (summary.status, summary.events, summary.steps) == ("interrupted", len(events), len(events))
    assert_sound(log)


def test_after_a_killed_run_the_log_goes_on(log: RunLog, start: Start) -> None:
    child = start(WRITES_FOR_EVER)
    child.line()
    child.kill()
    with pytest.raises(UsageError):
        log.open_run("run-1", "task", "model")
    with log.open_run("run-2", "task", "model") as writer:
        writer.append(finished())
    log.delete("run-1")
    assert [(run.run_id, run.status) for run in log.runs()] == [("run-2", "solved")]
    assert not list((log.path.parent / "locks").iterdir())


def test_a_follower_of_a_run_that_is_killed_ends_after_its_last_event(log: RunLog, start: Start) -> None:
    child = start(WRITES_FOR_EVER)
    child.line()
    seen = []
    for event in log.follow("run-1", timeout_s=PATIENCE_S):
        seen.append(event)
        if event.seq == 120:
            child.kill()
    assert len(seen) >= 120
    assert seen == log.events("run-1")


def test_a_forked_child_that_outlives_its_writer_does_not_keep_the_run_alive(log: RunLog, start: Start) -> None:
    child = start("""
writer = RunLog(path).open_run("run-1", "task", "model")
writer.append(step(1))
writer.flush()
if os.fork() == 0:
    try:
        writer.append(step(2))
    except LogError as error:
        say("refused:", error)
    writer_says_go = heard()
    say("survivor saw", RunLog(path).summary("run-1").status)
    sys.exit()
while True:
    writer.flush()
""")
    assert child.line().startswith("refused: Run run-1 belongs to")
    assert log.summary("run-1").status == "running"
    child.kill()
    assert log.summary("run-1").status == "interrupted"
    child.tell()
    assert child.line() == "survivor saw interrupted"
    assert numbers(log, "run-1") == [1]


def test_a_forked_child_that_ends_leaves_its_writers_run_alone(log: RunLog, start: Start) -> None:
    child = start("""
writer = RunLog(path).open_run("run-1", "task", "model")
writer.append(step(1))
if (forked := os.fork()) == 0:
    sys.exit()
os.waitpid(forked, 0)
say(RunLog(path).summary("run-1").status)
writer.append(finished())
writer.close()
""")
    assert child.line() == "running"
    assert child.ended_well()
    assert (log.summary("run-1").status, numbers(log, "run-1")) == ("solved", [1, 2])


def test_a_program_that_ends_without_closing_loses_nothing(log: RunLog, start: Start) -> None:
    child = start("""
writer = RunLog(path).open_run("run-1", "task", "model")
for number in range(321):
    writer.append(step(number))
""")
    assert child.ended_well()
    assert numbers(log, "run-1") == list(range(1, 322))
    assert log.summary("run-1").status == "interrupted"


def test_ctrl_c_at_any_moment_leaves_neither_gaps_nor_a_stuck_log(log: RunLog, start: Start) -> None:
    child = start("""
import random, signal

signal.signal(signal.SIGALRM, signal.default_int_handler)  # the child's own alarm clock strikes Ctrl-C
delays = random.Random(0)
writer = RunLog(path, busy_timeout_s=0.0).open_run("run-1", "task", "model")
last = 0
for _ in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, delays.uniform(0.0001, 0.003))
        while True:
            last = writer.append(step(1)).seq
            writer.flush()
    except KeyboardInterrupt:
        pass
writer.append(finished())
writer.close()
say(last)
""")
    told = int(child.line())
    assert child.ended_well()
    stored = numbers(log, "run-1")
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) > told > 400
    summary = log.summary("run-1")
    assert (summary.status, summary.events) == ("solved", len(stored))


# Several processes at once


def test_another_process_follows_a_running_run_event_by_event(log: RunLog, start: Start) -> None:
    with log.open_run("run-1", "task", "model") as writer:
        follower = start("""
say(RunLog(path).summary("run-1").status)
for event in RunLog(path).follow("run-1", timeout_s=60):
    say(json.dumps(to_json(event)))
say(RunLog(path).summary("run-1").status)
""")
        assert follower.line() == "running"
        events, lines = [], []
        for burst in (1, 7, 600, 1, 250):
            events += [writer.append(step(number)) for number in range(burst)]
            lines += [follower.line() for _ in range(burst)]  # the next burst begins when all of this was seen
        events.append(writer.append(finished()))
        lines.append(follower.line())
    assert [json.loads(line) for line in lines] == [to_json(event) for event in events]
    assert follower.line() == "solved"
    assert follower.ended_well()


def test_two_processes_write_two_runs_at_once(log: RunLog, start: Start) -> None:
    script = """
run_id = sys.argv[2]
writer = RunLog(path).open_run(run_id, "task of " + run_id, "model")
for number in range(1, 1001):
    writer.append(step(number, f"{run_id} {number}"))
    if number % 7 == 0:
        writer.flush()
    if number % 250 == 0:
        say(number)
        heard()
writer.append(finished())
writer.close()
"""
    writers = {run_id: start(script, run_id) for run_id in ("run-a", "run-b")}
    for quarter in (250, 500, 750, 1000):
        assert [int(child.line()) for child in writers.values()] == [quarter, quarter]
        assert {run.status for run in log.runs()} == {"running"}
        for child in writers.values():
            child.tell()
    for run_id, child in writers.items():
        assert child.ended_well()
        events = log.events(run_id)
        assert [event.seq for event in events] == list(range(1, 1002))
        assert [event.payload for event in events[:-1]] == [step(n, f"{run_id} {n}") for n in range(1, 1001)]
        assert log.summary(run_id).task == "task of " + run_id
    assert_sound(log)


def test_a_run_is_written_by_one_process_only(log: RunLog, start: Start) -> None:
    with log.open_run("run-1", "task", "model"):
        child = start("""
log = RunLog(path)
for attempt in (lambda: log.open_run("run-1", "task", "model"), lambda: log.delete("run-1")):
    try:
        attempt()
    except UsageError as error:
        say(error)
""")
        assert child.line() == "There is a run run-1 already: give the new run another id."
        assert child.line() == "Run run-1 is still running: stop it before you delete it."
        assert child.ended_well()
    assert log.summary("run-1").status == "interrupted"


def test_first_starts_at_the_same_moment_share_one_log(tmp_path: Path, start: Start) -> None:
    child = start("""
import multiprocessing

processes = multiprocessing.get_context("fork")
together, failures = processes.Barrier(4), processes.Queue()

def start_each(name):
    for number in range(150):
        try:
            together.wait()
            with RunLog(path.parent / str(number) / "runs.sqlite3", busy_timeout_s=60).open_run(name, "", "") as writer:
                writer.append(finished())
        except LogError as error:
            failures.put(f"{name} {number}: {error}")
    failures.put("done")

starters = [processes.Process(target=start_each, args=(f"run-{number}",), daemon=True) for number in range(4)]
for starter in starters:
    starter.start()
done = 0
while done < len(starters):
    failure = failures.get()
    done += failure == "done"
    say(failure)
""")
    assert [child.line() for _ in range(4)] == ["done"] * 4
    assert child.ended_well()
    for number in range(150):
        log = RunLog(tmp_path / str(number) / "runs.sqlite3")
        assert sorted((run.run_id, run.status) for run in log.runs()) == [(f"run-{n}", "solved") for n in range(4)]


# A log that another program holds

HOLDS_THE_LOG = """
import sqlite3
connection = sqlite3.connect(path, isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
say("held")
heard()
connection.close()
say("let go")
"""
HOLDS_WRITING = ("BEGIN IMMEDIATE",)
HOLDS_EVERYTHING = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "UPDATE runs SET steps = 0")


def hold(start: Start, statements: tuple[str, ...]) -> Child:
    child = start(HOLDS_THE_LOG, *statements)
    assert child.line() == "held"
    return child


def let_go(child: Child) -> None:
    child.tell()
    assert child.line() == "let go"


def assert_locked(log: RunLog, attempt: Callable[[], Any]) -> None:
    with pytest.raises(LogLocked) as error:
        attempt()
    assert str(error.value) == (
        f"The run log {log.path} is held by another program: close that program, then try again."
    )


def test_a_log_held_for_writing_by_another_program_refuses_new_runs_but_can_be_read(log: RunLog, start: Start) -> None:
    with log.open_run("run-1", "task", "model") as writer:
        writer.append(finished())
    impatient = RunLog(log.path, busy_timeout_s=0.05)
    holder = hold(start, HOLDS_WRITING)
    assert_locked(log, lambda: impatient.open_run("run-2", "task", "model"))
    assert_locked(log, lambda: impatient.delete("run-1"))
    assert [run.status for run in impatient.runs()] == ["solved"]
    let_go(holder)
    impatient.open_run("run-2", "task", "model").close()
    assert len(log.runs()) == 2


def test_a_log_held_altogether_by_another_program_says_so(log: RunLog, start: Start) -> None:
    impatient = RunLog(log.path, busy_timeout_s=0.05)
    holder = hold(start, HOLDS_EVERYTHING)
    assert_locked(log, impatient.runs)
    assert_locked(log, lambda: RunLog(log.path, busy_timeout_s=0.05))
    let_go(holder)
    assert impatient.runs() == []


def test_appending_does_not_wait_for_the_disk(log: RunLog, start: Start) -> None:
    patient = RunLog(log.path, busy_timeout_s=PATIENCE_S)
    with patient.open_run("run-1", "task", "model") as writer:
        holder = hold(start, HOLDS_WRITING)
        events = [writer.append(step(number)) for number in range(1000)]
        assert log.events("run-1") == [], "nothing could be committed while appending went on"
        let_go(holder)
        writer.flush()
        assert log.events("run-1") == events


def test_a_writer_that_outruns_the_disk_waits_instead_of_filling_the_memory(log: RunLog, start: Start) -> None:
    most = MAX_BATCHES * BATCH_EVENTS
    full = threading.Event()
    committed: list[int] = []

    def outrun() -> None:
        for number in range(most):
            writer.append(step(number))
        full.set()
        writer.append(step(most))
        committed.append(log.summary("run-1").events)

    with RunLog(log.path, busy_timeout_s=PATIENCE_S).open_run("run-1", "task", "model") as writer:
        holder = hold(start, HOLDS_WRITING)
        appending = threading.Thread(target=outrun)
        appending.start()
        assert full.wait(PATIENCE_S)
        let_go(holder)
        appending.join(PATIENCE_S)
    assert committed[0] >= most


def test_a_commit_that_failed_makes_appending_fail_and_is_made_up_for_later(log: RunLog, start: Start) -> None:
    impatient = RunLog(log.path, busy_timeout_s=0.05)
    with impatient.open_run("run-1", "task", "model") as writer:
        holder = hold(start, HOLDS_WRITING)
        writer.append(step(1))
        assert_locked(log, writer.flush)
        assert_locked(log, lambda: writer.append(step(99)))
        assert numbers(log, "run-1") == []
        let_go(holder)
        writer.flush()
        assert writer.append(step(2)).seq == 2
        writer.append(finished())
    assert [event.payload for event in log.events("run-1")] == [step(1), step(2), finished()]


def test_closing_a_run_that_cannot_be_committed_says_so_and_releases_it(log: RunLog, start: Start) -> None:
    writer = RunLog(log.path, busy_timeout_s=0.05).open_run("run-1", "task", "model")
    writer.append(step(1))
    writer.flush()
    holder = hold(start, HOLDS_WRITING)
    try:
        writer.append(step(2))
    except LogError:
        pytest.fail("nothing had failed yet")
    assert_locked(log, writer.close)
    let_go(holder)
    assert numbers(log, "run-1") == [1]
    assert log.summary("run-1").status == "interrupted"


# Disks that are full or read-only

FILLS_THE_DISK = """
writer, taken, failure = RunLog(path).open_run("run-1", "task", "model"), 0, None
try:
    while taken < 100_000:
        writer.append(step(taken + 1, "x" * 500))
        taken += 1
except LogError as error:
    failure = error
kept = len(RunLog(path).events("run-1"))
try:
    writer.append(finished())
except LogError:
    refused_again = True
"""


def under_own_mounts(*mounts: str) -> tuple[str, ...]:
    """A command prefix that runs a child with these mounts, which vanish with it; skips where that is not allowed."""
    command = "; ".join(["set -e", *mounts, 'exec "$@"'])
    prefix = ("unshare", "--mount", "--map-root-user", "sh", "-c", command, "sh")
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True, timeout=PATIENCE_S).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("mounting is not permitted here")
    return prefix


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path, start: Start) -> None:
    child = start(
        """
ballast = path.parent / "ballast"
ballast.write_bytes(b"x" * 62_000_000)  # far more than appending can get ahead of committing
"""
        + FILLS_THE_DISK
        + """
ballast.unlink()
writer.flush()
writer.append(finished())
writer.close()
log = RunLog(path)
say(json.dumps({
    "failure": type(failure).__name__, "sentence": str(failure), "refused_again": refused_again,
    "taken": taken, "kept": kept, "after": [event.seq for event in log.events("run-1")],
    "status": log.summary("run-1").status,
}))
""",
        under=under_own_mounts(f"mount -t tmpfs -o size=64m tmpfs '{tmp_path}'"),
    )
    told = json.loads(child.line())
    path = tmp_path / "runs.sqlite3"
    assert told["failure"] == "LogFull"
    assert told["sentence"] == (
        f"The disk of the run log {path} is full: free some space, then try again; what was saved is kept."
    )
    assert 0 < told["kept"] <= told["taken"]
    assert told["refused_again"]
    assert told["after"] == list(range(1, told["taken"] + 2))
    assert told["status"] == "solved"


def test_a_disk_without_any_space_refuses_a_new_log(tmp_path: Path, start: Start) -> None:
    child = start(
        """
try:
    with open(path.parent / "ballast", "wb") as ballast:
        while True:
            ballast.write(b"x" * 4096)
            ballast.flush()
except OSError:
    pass
try:
    RunLog(path)
except LogError as error:
    say(type(error).__name__)
""",
        under=under_own_mounts(f"mount -t tmpfs -o size=64k tmpfs '{tmp_path}'"),
    )
    assert child.line() == "LogFull"


def test_a_log_on_a_disk_without_any_space_is_read_and_is_written_again_once_there_is_some(
    tmp_path: Path, start: Start
) -> None:
    child = start(
        """
with RunLog(path).open_run("run-1", "task", "model") as writer:
    writer.append(finished())
try:
    with open(path.parent / "ballast", "wb") as ballast:
        while True:
            ballast.write(b"x" * 4096)
            ballast.flush()
except OSError:
    pass
log = RunLog(path)
found = [run.run_id for run in log.runs()]
try:
    log.delete("run-1")
except LogError as error:
    found.append(type(error).__name__)
(path.parent / "ballast").unlink()
log.delete("run-1")
say(json.dumps([*found, len(log.runs())]))
""",
        under=under_own_mounts(f"mount -t tmpfs -o size=1m tmpfs '{tmp_path}'"),
    )
    assert json.loads(child.line()) == ["run-1", "LogFull", 0]


def test_a_file_size_limit_is_reported_and_keeps_what_was_committed(log: RunLog, start: Start) -> None:
    child = start(
        """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
        + FILLS_THE_DISK
        + """
say(json.dumps({"sentence": str(failure), "kept": kept, "refused_again": refused_again}))
heard()
"""
    )
    told = json.loads(child.line())
    child.kill()
    assert told["sentence"].startswith(f"The run log {log.path} ")
    assert told["sentence"].endswith(".")
    assert "\n" not in told["sentence"]
    assert told["refused_again"]
    assert told["kept"] > 0
    assert numbers(log, "run-1") == list(range(1, told["kept"] + 1))
    assert log.summary("run-1").status == "interrupted"
    assert_sound(log)


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_disk_is_refused_with_a_sentence(tmp_path: Path, start: Start, exists: bool) -> None:
    if exists:
        RunLog(tmp_path / "runs.sqlite3").open_run("run-1", "task", "model").close()
    child = start(
        """
try:
    RunLog(path).open_run("run-2", "task", "model")
except LogUnwritable as error:
    say(error)
""",
        under=under_own_mounts(f"mount --bind '{tmp_path}' '{tmp_path}'", f"mount -o remount,bind,ro '{tmp_path}'"),
    )
    sentence = child.line()
    assert sentence == (
        f"The run log {tmp_path / 'runs.sqlite3'} cannot be opened for writing (Read-only file system): "
        "allow writing in its folder, or set WORKBENCH_DATA_DIR to another folder."
    )


def test_a_log_on_a_read_only_disk_can_be_read(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "runs.sqlite3"
    writer = RunLog(path).open_run("run-1", "task", "model")
    writer.append(step(1, "a word"))
    writer.append(finished())
    writer.close()
    child = start(
        """
log = RunLog(path)
try:
    log.delete("run-1")
except LogUnwritable:
    say(json.dumps([log.runs()[0].run_id, len(log.events("run-1")), len(list(log.follow("run-1")))]))
""",
        under=under_own_mounts(f"mount --bind '{tmp_path}' '{tmp_path}'", f"mount -o remount,bind,ro '{tmp_path}'"),
    )
    assert json.loads(child.line()) == ["run-1", 2, 2]
    assert [run.run_id for run in RunLog(path).runs()] == ["run-1"]
