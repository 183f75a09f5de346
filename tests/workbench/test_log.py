"""The run log within one process: numbering, batches, summaries, following, hostile text, broken files."""

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workbench import paths
from workbench.errors import (
    LogDamaged,
    LogError,
    LogTimeout,
    LogTooNew,
    LogUnwritable,
    RunNotFound,
    UsageError,
    WorkbenchError,
)
from workbench.events import (
    BlockFrozen,
    CallPlanned,
    Event,
    Payload,
    RunFinished,
    RunStarted,
    TextInjected,
    TokensAdded,
    UnknownEvent,
    WorkerAdded,
)
from workbench.log import RunLog, new_run_id
from workbench.writer import RunWriter

PATIENCE_S = 60.0
HOSTILE = ["a\x00b", "\ud800 alone", "\ud83d\ude00", "\x1b[2J\x1b]0;pwned\x07", "'; DROP TABLE runs; --", "𝔘‮ñ", "\r\n"]
started = RunStarted(
    task="1. gcd of 12 and 18?",
    items=[{"item": 1, "question": "gcd of 12 and 18?"}],
    model="embedded",
    model_fingerprint="f00d",
    versions={"python": "3.11"},
    seed=0,
    layout="contiguous",
    workers=["Alice", "Bob"],
    settings={},
    tools=["gcd"],
)


def step(number: int, text: str = "a") -> TokensAdded:
    return TokensAdded(
        step=number,
        tokens=[
            {"worker": "Alice", "block": 3, "ids": [number], "text": text},
            {"worker": "Bob", "block": 4, "ids": [1, 2], "text": "bc"},
        ],
    )


def finished(answer: str = "6") -> RunFinished:
    return RunFinished(
        status="solved",
        answer=answer,
        items=[{"item": 1, "question": "gcd of 12 and 18?", "answer": answer, "worker": "Alice"}],
        metrics={"steps": 1, "wall_s": 1.5, "tokens_per_s": 2.0, "cache_tokens": 9, "calls": 1, "workers": []},
    )


def assert_one_sentence(error: pytest.ExceptionInfo[WorkbenchError], *words: str) -> None:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    assert ":" in text, "it says what to do, after a colon"
    for word in words:
        assert word in text


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    return RunLog(tmp_path / "data" / "runs.sqlite3")


@pytest.fixture
def writer(log: RunLog) -> Iterator[RunWriter]:
    with log.open_run("run-1", "the task", "embedded") as writer:
        yield writer


# Numbers, batches, summaries


def test_events_read_back_in_order_as_they_were_appended(log: RunLog) -> None:
    with log.open_run("run-1", "the task", "embedded") as writer:
        returned = [writer.append(payload) for payload in (started, step(1), finished())]
    assert [event.seq for event in returned] == [1, 2, 3]
    assert log.events("run-1") == returned
    assert log.events("run-1", since=2) == returned[2:]
    assert log.events("run-1", since=3) == []
    assert returned[0].time <= returned[2].time


def test_more_events_than_one_batch_holds_are_all_kept(log: RunLog) -> None:
    with log.open_run("run-1", "the task", "embedded") as writer:
        returned = [writer.append(step(number)) for number in range(1, 1001)]
    assert log.events("run-1") == returned
    assert log.summary("run-1").events == 1000


def test_an_event_is_committed_without_anybody_asking(log: RunLog, writer: RunWriter) -> None:
    event = writer.append(started)
    assert next(log.follow("run-1", timeout_s=PATIENCE_S)) == event


def test_the_last_event_is_committed_when_append_returns(log: RunLog, writer: RunWriter) -> None:
    writer.append(started)
    last = writer.append(finished())
    assert log.events("run-1")[-1] == last
    assert log.summary("run-1").status == "solved"


def test_a_summary_tells_a_run_at_a_glance(log: RunLog) -> None:
    with log.open_run("run-1", "the task", "embedded") as writer:
        for payload in (started, WorkerAdded("Alice", {}), WorkerAdded("Carol", {}), step(1), step(2)):
            writer.append(payload)
        writer.flush()
        running = log.summary("run-1")
        last = writer.append(finished("6"))  # whose figures say one step, and the figures of the run have the last word
    assert (running.status, running.answer, running.ended) == ("running", "", None)
    summary = log.summary("run-1")
    assert (summary.run_id, summary.task, summary.model) == ("run-1", "the task", "embedded")
    assert (summary.status, summary.answer, summary.ended) == ("solved", "6", last.time)
    assert (summary.workers, summary.steps, summary.tokens, summary.events) == (3, 1, 6, 6)
    assert summary.created <= last.time


def test_runs_are_listed_newest_first(log: RunLog) -> None:
    for run_id in ("b", "a", "c"):
        log.open_run(run_id, "task", "model").close()
    assert [run.run_id for run in log.runs()] == ["c", "a", "b"]


def test_a_run_is_running_until_its_writer_closes(log: RunLog) -> None:
    writer = log.open_run("run-1", "task", "model")
    writer.append(started)
    assert log.summary("run-1").status == "running"
    assert RunLog(log.path).runs()[0].status == "running"
    writer.close()
    writer.close()
    assert log.runs()[0].status == "interrupted"
    assert not list((log.path.parent / "locks").iterdir())


def test_what_the_caller_does_to_its_lists_later_changes_nothing(log: RunLog, writer: RunWriter) -> None:
    arguments = {"a": 12}
    writer.append(CallPlanned("c1", "Alice", "gcd", arguments, "raw"))
    arguments["a"] = 13
    writer.flush()
    assert log.events("run-1")[0].payload == CallPlanned("c1", "Alice", "gcd", {"a": 12}, "raw")


def test_a_payload_that_is_no_json_is_refused_and_leaves_no_gap(log: RunLog, writer: RunWriter) -> None:
    with pytest.raises(TypeError):
        writer.append(CallPlanned("c1", "Alice", "gcd", {"a": object()}, "raw"))
    assert writer.append(started).seq == 1
    writer.flush()
    assert len(log.events("run-1")) == 1


def test_nothing_is_taken_after_the_end(log: RunLog, writer: RunWriter) -> None:
    writer.append(finished())
    with pytest.raises(LogError) as error:
        writer.append(step(1))
    assert_one_sentence(error, "run-1", "ended")
    assert len(log.events("run-1")) == 1


def test_nothing_is_taken_after_closing(log: RunLog) -> None:
    writer = log.open_run("run-1", "task", "model")
    writer.close()
    writer.flush()
    with pytest.raises(LogError) as error:
        writer.append(step(1))
    assert_one_sentence(error, "run-1")


def test_threads_that_share_a_writer_get_numbers_without_gaps(log: RunLog) -> None:
    with log.open_run("run-1", "task", "model") as writer:
        threads = [
            threading.Thread(target=lambda: [writer.append(step(number)) for number in range(300)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert [event.seq for event in log.events("run-1")] == list(range(1, 1201))


# Naming, finding, deleting


def test_run_ids_sort_by_time_and_differ() -> None:
    assert new_run_id(0).startswith("19700101-000000-")
    assert new_run_id(1_000_000) < new_run_id(1_000_001)
    assert len({new_run_id(0) for _ in range(50)}) > 45


def test_a_run_id_is_taken_once(log: RunLog, writer: RunWriter) -> None:
    with pytest.raises(UsageError) as error:
        log.open_run("run-1", "task", "model")
    assert_one_sentence(error, "run-1")
    writer.append(finished())
    writer.close()
    with pytest.raises(UsageError) as error:
        log.open_run("run-1", "task", "model")
    assert_one_sentence(error, "run-1")
    assert log.summary("run-1").status == "solved"


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "a b", "a\x00", "x" * 101, "naïve", "run\n"])
def test_a_run_id_that_is_no_file_name_is_refused(log: RunLog, run_id: str) -> None:
    with pytest.raises(UsageError) as error:
        log.open_run(run_id, "task", "model")
    assert_one_sentence(error)
    assert log.runs() == []


def test_a_run_is_found_by_the_beginning_of_its_id(log: RunLog) -> None:
    for run_id in ("20261123-a", "20261123-ab", "20261124-c"):
        log.open_run(run_id, "task", "model").close()
    assert log.find("20261124") == "20261124-c"
    assert log.find("20261123-a") == "20261123-a", "a whole id wins over a longer one"
    with pytest.raises(RunNotFound) as error:
        log.find("20261123")
    assert_one_sentence(error, "2 runs", "20261123-ab")


@pytest.mark.parametrize("run_id", ["nope", "%", "_", "\ud800", "a\x00b"])
def test_an_unknown_run_is_named_in_the_error(log: RunLog, run_id: str) -> None:
    for attempt in (log.find, log.summary, log.events, log.follow, log.delete):
        with pytest.raises(RunNotFound) as error:
            attempt(run_id)
        assert_one_sentence(error, repr(run_id), "workbench runs list")
    assert error.value.exit_code == 2


def test_a_running_run_is_not_deleted(log: RunLog, writer: RunWriter) -> None:
    writer.append(started)
    with pytest.raises(UsageError) as error:
        log.delete("run-1")
    assert_one_sentence(error, "run-1", "stop")
    writer.flush()
    assert len(log.events("run-1")) == 1


def test_a_deleted_run_is_gone_and_gives_its_space_back(log: RunLog) -> None:
    for run_id in ("kept", "gone"):
        with log.open_run(run_id, "task", "model") as writer:
            for number in range(20):
                writer.append(step(number, "x" * 50_000))
    before = log.path.stat().st_size
    log.delete("gone")
    assert [run.run_id for run in log.runs()] == ["kept"]
    assert len(log.events("kept")) == 20
    assert log.path.stat().st_size < 0.6 * before
    with pytest.raises(RunNotFound):
        log.events("gone")
    log.open_run("gone", "task", "model").close()
    assert log.events("gone") == []


# Following


def test_no_event_is_before_the_last_where_the_clock_is_set_back(log: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter((20.0, 19.0, 21.0, 18.0, 17.0))
    monkeypatch.setattr("workbench.writer.time.time", lambda: next(hours))
    with log.open_run("run", "?", "model") as writer:
        for number in (1, 2):
            writer.append(step(number))
    with log.reopen_run("run") as writer:
        writer.append(step(3))
        writer.append(finished())
    summary = log.summary("run")
    assert [one.time for one in log.events("run")] == [20.0, 21.0, 21.0, 21.0]
    assert (summary.created, summary.ended) == (20.0, 21.0)


def test_a_follower_sees_every_event_once_in_order_until_the_end(log: RunLog) -> None:
    with log.open_run("run-1", "task", "model") as writer:
        seen: list[Event] = []
        followers = [
            threading.Thread(target=lambda: seen.extend(log.follow("run-1", timeout_s=PATIENCE_S))) for _ in range(3)
        ]
        for follower in followers:
            follower.start()
        returned = [writer.append(step(number)) for number in range(1500)]
        returned.append(writer.append(finished()))
        for follower in followers:
            follower.join(PATIENCE_S)
    assert len(seen) == 3 * len(returned)
    assert sorted(event.seq for event in seen) == sorted(3 * [event.seq for event in returned])


def test_a_follower_keeps_pace_with_a_running_run(log: RunLog, writer: RunWriter) -> None:
    follower = log.follow("run-1", timeout_s=PATIENCE_S)
    for number in range(5):
        event = writer.append(step(number))
        assert next(follower) == event
    last = writer.append(finished())
    assert list(follower) == [last]


def test_a_follower_may_begin_in_the_middle_and_after_the_end(log: RunLog, writer: RunWriter) -> None:
    events = [writer.append(payload) for payload in (started, step(1), finished())]
    writer.close()
    assert list(log.follow("run-1", since=1)) == events[1:]
    assert list(log.follow("run-1", since=99)) == []


def test_a_follower_of_an_interrupted_run_ends_with_what_was_committed(log: RunLog) -> None:
    with log.open_run("run-1", "task", "model") as writer:
        follower = log.follow("run-1", timeout_s=PATIENCE_S)
        events = [writer.append(step(number)) for number in range(700)]
        first = list(itertools.islice(follower, 10))
    assert first + list(follower) == events


def test_a_follower_of_a_deleted_run_does_not_slip_into_the_next_run(log: RunLog) -> None:
    log.open_run("run-1", "task", "model").close()
    follower = log.follow("run-1", timeout_s=PATIENCE_S)
    log.delete("run-1")
    with log.open_run("run-2", "task", "model") as writer:
        writer.append(started)
        writer.flush()
        with pytest.raises(RunNotFound) as error:
            next(follower)
    assert_one_sentence(error, "run-1")


def test_a_follower_gives_up_on_a_silent_run_in_the_time_it_was_given(log: RunLog, writer: RunWriter) -> None:
    event = writer.append(started)
    follower = log.follow("run-1", timeout_s=PATIENCE_S)
    assert next(follower) == event
    with pytest.raises(LogTimeout) as error:
        next(log.follow("run-1", since=1, timeout_s=0.0))
    assert_one_sentence(error, "run-1")


# Hostile content


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=())))
@example(text="\ud83d\ude00")
@example(text="\x00")
def test_any_text_survives_storage(log: RunLog, text: str) -> None:
    run_id = new_run_id()
    payloads: list[Payload] = [
        step(1, text),
        TextInjected(text, 3, text, [], "tool", text),
        CallPlanned(text, text, text, {text: text}, text),
        UnknownEvent(text, {text: [text]}),
        finished(text),
    ]
    with log.open_run(run_id, text, text) as writer:
        for payload in payloads:
            writer.append(payload)
    assert [event.payload for event in log.events(run_id)] == payloads
    summary = log.summary(run_id)
    assert (summary.task, summary.model, summary.answer) == (text, text, text)
    log.delete(run_id)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_survives_storage_beside_other_runs(log: RunLog, writer: RunWriter, text: str) -> None:
    test_any_text_survives_storage.hypothesis.inner_test(log, text)  # type: ignore[attr-defined]
    assert [run.run_id for run in log.runs()] == ["run-1"]


def test_ten_megabytes_of_text_survive_storage(log: RunLog, writer: RunWriter) -> None:
    text = "0123456789abcdef\x00ü\ud800" * (10_000_000 // 19)
    returned = [writer.append(TextInjected("Alice", 3, text, [], "tool")) for _ in range(3)]
    writer.flush()
    assert log.events("run-1") == returned


def test_numbers_that_json_lacks_survive_storage(log: RunLog, writer: RunWriter) -> None:
    writer.append(CallPlanned("c", "Alice", "mean", {"a": float("inf"), "b": 10**400, "c": -0.0}, ""))
    writer.flush()
    payload = log.events("run-1")[0].payload
    assert isinstance(payload, CallPlanned)
    assert repr(payload.arguments) == repr({"a": float("inf"), "b": 10**400, "c": -0.0})


# Places and files that are not as they should be


def test_the_log_lies_in_the_folder_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "a folder % with #signs?" / "b"))
    RunLog().open_run("run-1", "task", "model").close()
    assert (tmp_path / "a folder % with #signs?" / "b" / "runs.sqlite3").is_file()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_DATA_DIR", "here")
    assert paths.data_dir() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_DATA_DIR", "~/runs")
    assert paths.data_dir() == tmp_path / "home" / "runs"


def test_without_the_variable_the_log_lies_among_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert paths.data_dir().name == "workbench"
    assert tmp_path in paths.data_dir().parents
    assert paths.log_path() == paths.data_dir() / "runs.sqlite3"


def test_a_log_below_a_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am in the way")
    with pytest.raises(LogUnwritable) as error:
        RunLog(tmp_path / "file" / "below" / "runs.sqlite3")
    assert_one_sentence(error, str(tmp_path / "file"), "Not a directory", "WORKBENCH_DATA_DIR")


def test_a_folder_in_the_place_of_the_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnwritable) as error:
        RunLog(tmp_path)
    assert_one_sentence(error, str(tmp_path), "Is a directory")


def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(LogUnwritable) as error:
        RunLog(tmp_path / "runs.sqlite3")
    assert_one_sentence(error, "Permission denied")


def test_a_log_removed_under_way_is_not_silently_replaced(log: RunLog) -> None:
    log.path.unlink()
    with pytest.raises(LogUnwritable) as error:
        log.runs()
    assert_one_sentence(error, str(log.path))
    assert not log.path.exists()


def test_a_log_of_a_newer_schema_is_refused_and_left_alone(log: RunLog) -> None:
    log.open_run("run-1", "task", "model").close()
    with closing(sqlite3.connect(log.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = log.path.read_bytes()
    with pytest.raises(LogTooNew) as error:
        RunLog(log.path)
    assert_one_sentence(error, "99", "update the workbench")
    assert log.path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (miles REAL)")
    before = path.read_bytes()
    with pytest.raises(LogDamaged) as error:
        RunLog(path)
    assert_one_sentence(error, "another program")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at " * 40, b"\x00" * 9000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs.sqlite3"
    path.write_bytes(content)
    with pytest.raises(LogDamaged) as error:
        RunLog(path)
    assert_one_sentence(error, str(path), "move the file away")
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite3").touch()
    assert RunLog(tmp_path / "runs.sqlite3").runs() == []


def write_some(log: RunLog) -> int:
    with log.open_run("run-1", "task", "model") as writer:
        for number in range(300):
            writer.append(step(number, "x" * 500))
    return log.path.stat().st_size


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_log_cut_short_is_reported_as_damaged(log: RunLog, kept: float) -> None:
    size = write_some(log)
    os.truncate(log.path, int(size * kept) // 4096 * 4096)
    with pytest.raises(LogDamaged) as error:
        RunLog(log.path).events("run-1")
    assert_one_sentence(error, str(log.path))


def test_a_log_overwritten_in_the_middle_is_reported_as_damaged(log: RunLog) -> None:
    size = write_some(log)
    with log.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(LogDamaged) as error:
        RunLog(log.path).runs()
    assert_one_sentence(error, str(log.path))


def test_an_event_that_is_no_longer_json_is_reported_as_damaged(log: RunLog) -> None:
    write_some(log)
    with closing(sqlite3.connect(log.path)) as connection, connection:
        connection.execute("UPDATE events SET fields = substr(fields, 2) WHERE seq = 7")
    with pytest.raises(LogDamaged) as error:
        log.events("run-1")
    assert_one_sentence(error, "run-1")
    assert "workbench runs delete run-1" in str(error.value), "the other runs are whole: nobody moves them away"
    assert "move the file" not in str(error.value)
    assert len(log.events("run-1", since=7)) == 293
    log.delete("run-1")


def test_a_text_of_the_log_that_is_none_is_reported_as_damaged_and_not_quoted(log: RunLog) -> None:
    write_some(log)
    with closing(sqlite3.connect(log.path)) as connection, connection:
        connection.execute("UPDATE events SET fields = CAST(x'7bff1b5b' || fields AS TEXT) WHERE seq = 7")
    with pytest.raises(LogDamaged) as error:
        log.events("run-1")
    assert_one_sentence(error, "a text in it is none")


def test_a_tail_that_is_closed_while_a_thread_reads_from_it_is_read_to_the_end(
    log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a browser's tab goes away: SQLite's memory must not be taken from under the thread."""
    write_some(log)
    tail = log.tail("run-1")
    reading, go, pages = threading.Event(), threading.Event(), list[int]()
    real = tail._text

    def slow(*row: Any) -> str:
        reading.set()
        assert go.wait(30)
        return real(*row)

    monkeypatch.setattr(tail, "_text", slow)
    thread = threading.Thread(target=lambda: pages.append(len(tail.read(40).events)))
    thread.start()
    assert reading.wait(30)
    tail.close()
    go.set()
    thread.join(30)
    assert pages == [40]
    with pytest.raises(sqlite3.ProgrammingError):
        tail._connection.execute("SELECT 1")
    tail.close()


def test_a_newer_kind_of_event_is_read_as_unknown(log: RunLog, writer: RunWriter) -> None:
    writer.append(BlockFrozen(block=1, length=7))
    writer.flush()
    with closing(sqlite3.connect(log.path)) as connection, connection:
        connection.execute("UPDATE events SET kind = 'block_melted'")
    assert log.events("run-1")[0].payload == UnknownEvent("block_melted", {"block": 1, "length": 7})


@pytest.mark.parametrize(
    ("imported", "heavy"),
    [
        ("workbench.log, workbench.events, workbench.errors, workbench.paths", "'torch', 'transformers', 'numpy'"),
        ("workbench.session", "'torch', 'transformers', 'numpy', 'pydantic', 'yaml', 'toolsets.standard'"),
    ],
    ids=["the log", "Workbench"],
)
def test_importing_loads_nothing_that_is_needed_later_or_never(imported: str, heavy: str) -> None:
    script = f"import sys, {imported}\nprint(sorted({{{heavy}}} & set(sys.modules)))"
    child = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (child.stdout, child.stderr) == ("[]\n", "")
