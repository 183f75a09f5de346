"""The library between processes: killed at every stage of a write, written by two at once, unreadable, unwritable.

Children run the scripts below and speak in lines. Nothing sleeps; a child that hangs is killed after a minute.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hash_embedder import HashEmbedder
from rows_at_hand import move, tool

from memory import sqlite_frame
from memory.errors import LibraryDamaged, LibraryLocked, LibraryTooNew, LibraryUnwritable
from memory.migrations import MIGRATIONS
from memory.planning import plan_move, plan_new
from memory.retrieval import Searcher
from memory.store import Library, examine

PATIENCE_S = 300.0
HERE = Path(__file__).parent

PRELUDE = """
import json, os, shutil, signal, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from hash_embedder import HashEmbedder
from rows_at_hand import edit, tool
from memory import sqlite_frame
from memory.errors import RowChanged
from memory.planning import plan_move, plan_new
from memory.retrieval import Searcher
from memory.store import Library
from memory.transfer import import_jsonl

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())
"""

# Kills itself at its n-th stage: a stage is an SQL statement, or the opening, syncing, renaming or removal of a file.
STAGED_WRITES = """
import faiss  # once, before the children are made: each would import it anew

def arm(folder, at):
    reached = 0
    def stage(*_):
        nonlocal reached
        reached += 1
        if reached == at:
            os.kill(os.getpid(), signal.SIGKILL)
    connect, fsync = sqlite_frame.connect, os.fsync
    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(stage)
        return connection
    def synced(descriptor):
        stage()
        fsync(descriptor)
        stage()
    def audited(event, arguments):
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect") and str(folder) in str(arguments):
            stage()
    sqlite_frame.connect, os.fsync = traced, synced
    sys.addaudithook(audited)

def write(folder):
    with Library(folder) as library:
        searcher = Searcher(library, HashEmbedder())
        library.apply(plan_new(tool(f"new_{n}", f"Newcomer number {n}.") for n in range(3)), author="child")
        say("added")
        searcher.search("newcomer", states=("proposed", "active"))
        say("searched")
        library.apply(plan_move(library.rows("tool", states=("proposed",)), "approve"), author="child")
        say("approved")
        library.undo(library.journal()[0].number, author="child")
        say("undone")
        retired = library.rows("tool", states=("retired",))
        library.purge([row.row_id for row in retired])
        say("purged")
        searcher.search("newcomer", states=("proposed", "active"))
        say("found")

base, work = Path(sys.argv[2]), Path(sys.argv[3])
at = 0
while True:
    at += 1
    folder = work / str(at)
    if base.exists():
        shutil.copytree(base, folder)
    say("stage", at)
    child = os.fork()
    if not child:
        arm(folder, at)
        write(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        say("finished", os.waitstatus_to_exitcode(status))
        break
"""


def run(script: str, *arguments: str, under: tuple[str, ...] = ()) -> list[str]:
    """The lines that a child said; it must end well."""
    done = subprocess.run(
        [*under, sys.executable, "-c", PRELUDE + script, str(HERE), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def stages(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """What each child had said before it was killed."""
    said: list[str] = []
    for line in lines:
        word, *rest = line.split()
        if word == "stage":
            said = []
            yield int(rest[0]), said
        else:
            said.append(word)


def found_by_all_views(library: Library) -> list[str]:
    searcher = Searcher(library, HashEmbedder())
    answer = searcher.search("newcomer number", states=("proposed", "active"), limit=20)
    return sorted(found.row.row_id for found in answer.found)


def test_a_kill_at_any_stage_of_a_write_loses_no_row_and_no_search_result(tmp_path: Path) -> None:
    base = tmp_path / "base"
    with Library(base) as library:
        library.apply(plan_new(tool(f"old_{n}", f"Elder number {n}.") for n in range(3)), author="parent")
        gone = library.add(tool("gone"), author="parent")
        move(library, gone.row_id, "reject", author="parent", expected_version=1)
        Searcher(library, HashEmbedder()).refresh()
        old = [row for row in library.rows() if row.name.startswith("old")]
    lines = run(STAGED_WRITES, str(base), str(tmp_path))
    assert lines[-1] == "finished 0"
    killed = dict(stages(lines))
    assert len(killed) > 60
    for at, said in killed.items():
        with Library(tmp_path / str(at)) as library:
            rows = library.rows()
            new = [row for row in rows if row.name.startswith("new")]
            assert {row.row_id for row in old} <= {row.row_id for row in rows}
            assert len(new) == 3 if "added" in said else len(new) in (0, 3)
            assert len({row.state for row in rows}) == 1  # approving, and its undoing, is of all rows or of none
            if "undone" in said or "searched" not in said:
                assert {row.state for row in rows} == {"proposed"}
            if "purged" in said:
                assert gone.row_id not in library.row_ids()
            assert found_by_all_views(library) == sorted(row.row_id for row in rows)
        shutil.rmtree(tmp_path / str(at))


FIRST_START = """
def write(folder):
    Library(folder).add(tool(), author="child")
    say("added")
"""


def test_a_kill_at_any_stage_of_a_first_start_leaves_a_library_that_opens(tmp_path: Path) -> None:
    arming, _, looping = STAGED_WRITES.partition("base, work =")
    lines = run(f"{arming}{FIRST_START}\nbase, work ={looping}", str(tmp_path / "none"), str(tmp_path))
    assert lines[-1] == "finished 0"
    for at, said in stages(lines):
        with Library(tmp_path / str(at)) as library:
            assert len(library.rows()) == 1 if "added" in said else len(library.rows()) in (0, 1)


IMPORT = """
base, work, source = Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
for at in range(1, 10_000):
    folder = work / str(at)
    say("stage", at)
    child = os.fork()
    if not child:
        Library(folder).close()
        arm(folder, at)
        with Library(folder) as library:
            import_jsonl(library, source, author="child")
        say("imported")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        say("finished", os.waitstatus_to_exitcode(status))
        break
"""


def test_a_kill_at_any_stage_of_an_import_takes_all_rows_or_none(tmp_path: Path) -> None:
    from memory.transfer import export_jsonl

    with Library(tmp_path / "source") as library:
        library.apply(plan_new(tool(f"f{n}") for n in range(4)), author="ana")
        export_jsonl(library, tmp_path / "export.jsonl")
    arming = STAGED_WRITES.split("def write(folder)")[0]
    lines = run(arming + IMPORT, "none", str(tmp_path), str(tmp_path / "export.jsonl"))
    assert lines[-1] == "finished 0"
    counts = set()
    for at, said in stages(lines):
        with Library(tmp_path / str(at)) as library:
            count = len(library.rows())
            assert count == 4 if "imported" in said else count in (0, 4)
            counts.add(count)
    assert counts == {0, 4}


COUNTING = """
folder, times = Path(sys.argv[2]), int(sys.argv[3])
library = Library(folder)
(row,) = library.rows(name="counter")
say("ready")
sys.stdin.readline()
lost = 0
while times:
    row = library.row(row.row_id)
    content = {**row.content, "count": row.content.get("count", 0) + 1}
    try:
        edit(library, row.row_id, content, author=str(os.getpid()), expected_version=row.version)
        times -= 1
    except RowChanged:
        lost += 1
say("refused", lost)
"""


def test_two_processes_that_edit_one_row_at_once_lose_no_update(tmp_path: Path) -> None:
    times = 40
    with Library(tmp_path) as library:
        row = library.add(tool("counter"), author="ana")
        children = [
            subprocess.Popen(
                [sys.executable, "-c", PRELUDE + COUNTING, str(HERE), str(tmp_path), str(times)],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        try:
            for child in children:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            for child in children:
                output, _ = child.communicate(timeout=PATIENCE_S)
                assert child.returncode == 0, output
        finally:
            for child in children:
                child.kill()
                child.communicate()
        assert library.row(row.row_id).content["count"] == 2 * times
        history = library.history(row.row_id)
        assert [version.snapshot.content.get("count", 0) for version in history] == list(range(2 * times + 1))
        assert len({version.author for version in history[1:]}) == 2


def test_one_process_finds_at_once_what_another_wrote(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        searcher = Searcher(library, HashEmbedder())
        assert searcher.search("newcomer", states=("proposed",)).found == ()
        run('Library(Path(sys.argv[2])).add(tool("x", "A newcomer."), author="child")', str(tmp_path))
        assert [found.row.name for found in searcher.search("newcomer", states=("proposed",)).found] == ["x"]


def test_a_library_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Library(tmp_path).close()
    path = tmp_path / "library.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(LibraryTooNew, match=r"written by a newer version .* update the workbench"):
        Library(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)


def test_a_file_that_is_no_library_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite3"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(LibraryDamaged, match="damaged or is not a library"):
        Library(tmp_path)
    assert path.read_bytes() == b"something else entirely" * 100
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LibraryDamaged, match="another program's database"):
        Library(tmp_path)


def test_a_library_that_another_program_holds_is_reported_with_a_sentence(tmp_path: Path) -> None:
    with Library(tmp_path, busy_timeout_s=0.05) as library, closing(sqlite3.connect(library.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryLocked, match="held by another program"):
            library.add(tool(), author="ana")
        other.execute("ROLLBACK")
        assert library.rows() == []
        library.add(tool(), author="ana")


READ_ONLY = """
from memory.errors import LibraryError
folder = Path(sys.argv[2])
try:
    library = Library(folder)
    for row in library.rows():
        say("listed", row.name)
    for found in Searcher(library, HashEmbedder()).search("unseen", states=("proposed",)).found[:1]:
        say("found", found.row.name)
    library.add(tool(), author="child")
except LibraryError as error:
    say(type(error).__name__, error)
"""

with_mounts = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True).returncode != 0,
    reason="this system gives no mounts of one's own, and root may write into any folder",
)


def read_only(folder: Path, mount: str) -> list[str]:
    """What a child says of a library in a folder that is mounted in some way."""
    return run(READ_ONLY, str(folder), under=("unshare", "--mount", "--map-root-user", "sh", "-ec", mount, "sh"))


@with_mounts
@pytest.mark.parametrize("exists", [False, True])
def test_a_read_only_folder_is_read_and_its_changes_are_refused_with_a_sentence(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if exists:
        with Library(folder) as library:
            Searcher(library, HashEmbedder()).refresh()
            library.add(tool("unseen", "A tool without vectors yet."), author="ana")
    before = sorted(path.name for path in folder.iterdir())
    *read, refused = read_only(
        folder, f"mount --bind '{folder}' '{folder}'; mount -o remount,bind,ro '{folder}'; exec \"$@\""
    )
    assert read == (["listed unseen", "found unseen"] if exists else [])
    assert refused.startswith("LibraryUnwritable The library")
    assert "choose another folder" in refused
    assert sorted(path.name for path in folder.iterdir()) == before


@with_mounts
def test_a_library_on_a_full_disk_is_read_and_its_changes_are_refused_with_a_sentence(tmp_path: Path) -> None:
    library, disk = tmp_path / "library", tmp_path / "disk"
    disk.mkdir()
    with Library(library) as opened:
        opened.add(tool("unseen", "A tool without vectors yet."), author="ana")
    *read, refused = read_only(
        disk,
        f"mount -t tmpfs -o size=1m tmpfs '{disk}'; cp '{library}'/* '{disk}'; "
        f"! head -c 1m /dev/zero 2> '{tmp_path / 'said'}' > '{disk / 'rest'}'; exec \"$@\"",
    )
    assert read == ["listed unseen", "found unseen"]
    assert refused.startswith("LibraryUnwritable The library")
    assert "its disk is full" in refused


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE contents SET body = replace(body, 'A tool', 'A toil')", "not what was written"),
        ("DELETE FROM contents", "lacks what belongs to it"),
        ("", "disk image is malformed|file is not a database|tree|out of order|never used|Freelist"),
    ],
)
def test_a_library_that_has_lost_something_is_found_out(tmp_path: Path, harm: str, said: str) -> None:
    with Library(tmp_path) as library:
        library.apply(plan_new(tool(f"f{n}", f"A tool, number {n}.") for n in range(50)), author="ana")
    assert examine(tmp_path) == 50
    path = tmp_path / "library.sqlite3"
    if harm:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(harm)
            connection.commit()
    else:
        whole = bytearray(path.read_bytes())
        whole[8192:16384] = os.urandom(8192)
        path.write_bytes(whole)
    with pytest.raises(LibraryDamaged, match=said):
        examine(tmp_path)


def denied(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_library_that_may_be_written_again_takes_changes_without_being_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Library(tmp_path).close()
    with monkeypatch.context() as closed:
        closed.setattr(sqlite_frame, "prepare", denied)
        library = Library(tmp_path)
        assert library.read_only
        with pytest.raises(LibraryUnwritable, match="Permission denied"):
            library.add(tool(), author="ana")
    with Library(tmp_path) as other:  # who reads sees what another process writes
        theirs = other.add(tool(), author="bob")
    assert library.rows() == [theirs]
    mine = library.add(tool("g"), author="ana")
    assert library.rows() == [theirs, mine]
    library.close()


def test_a_read_only_library_of_an_older_version_says_why_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library(tmp_path) as library, library.writing() as connection:
        connection.execute("PRAGMA user_version = 1")
    monkeypatch.setattr(sqlite_frame, "prepare", denied)
    with pytest.raises(LibraryUnwritable, match="written by an older version"):
        Library(tmp_path)


def test_a_folder_in_the_place_of_which_there_is_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LibraryUnwritable, match="choose another"):
        Library(tmp_path / "data")


def test_what_a_plan_would_write_to_a_full_disk_is_not_half_written(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        rows = [library.add(tool(f"f{n}"), author="ana") for n in range(3)]
        with library.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
        with library._lock:
            library._connection.execute(f"PRAGMA max_page_count = {pages}")
        big = plan_new(tool(f"g{n}", "Big.", "x" * 50_000) for n in range(3))
        with pytest.raises(LibraryUnwritable, match="its disk is full"):
            library.apply(big, author="ana")
        assert library.rows() == rows
        library.apply(plan_move(rows, "approve"), author="ana")


def test_an_export_line_is_json_on_one_line(tmp_path: Path) -> None:
    from memory.transfer import export_lines

    with Library(tmp_path) as library:
        library.add(tool("f", "Line\\nbreaks.", "a\nb"), author="ana")
        assert all(json.loads(line) and "\n" not in line for line in export_lines(library))
