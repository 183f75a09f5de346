"""The library's own JSON lines: exact round trips, trust, and files that are malformed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_at_hand import concept, edit, lesson, move, tool

from memory.errors import ImportRefused, LibraryError, LibraryUnwritable
from memory.planning import plan_move, plan_new, plan_tags
from memory.store import Library
from memory.transfer import export_jsonl, export_lines, import_jsonl
from memory.values import Snapshot


@pytest.fixture
def full(tmp_path: Path) -> Library:
    """A library with something of everything."""
    library = Library(tmp_path / "full")
    library.apply(
        plan_new([tool(problem="Zürich\u2028 \U0001f600", x=[1, 2.5, None, True]), concept(), lesson("s")]),
        author="ana",
    )
    rows = library.rows()
    library.apply(plan_move(rows, "approve"), author="bo", note="looks right")
    library.apply(plan_tags(library.rows("tool"), add=["math", "new"]), author="bo")
    library.record_retrieval("run-1", {rows[0].row_id: {"score": 0.123456789}})
    library.record_outcome("run-1", solved=True)
    library.mark_not_duplicates(rows[0].row_id, rows[1].row_id, author="ana")
    return library


def exported(library: Library) -> list[str]:
    return list(export_lines(library))


def test_an_export_that_is_imported_as_trusted_exports_to_the_same_bytes(full: Library, tmp_path: Path) -> None:
    export_jsonl(full, tmp_path / "a.jsonl")
    with Library(tmp_path / "copy") as copy:
        done = import_jsonl(copy, tmp_path / "a.jsonl", author="cy", trusted=True)
        export_jsonl(copy, tmp_path / "b.jsonl")
        assert sorted(done.added) == sorted(full.row_ids())
        assert [row.snapshot for row in copy.rows()] == [row.snapshot for row in full.rows()]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(extra=json_values)
def test_whatever_json_a_row_holds_comes_back(tmp_path_factory: pytest.TempPathFactory, extra: Any) -> None:
    folder = tmp_path_factory.mktemp("round")
    with Library(folder / "one") as one, Library(folder / "two") as two:
        one.add(lesson("s", extra=extra), author="ana")
        export_jsonl(one, folder / "a.jsonl")
        import_jsonl(two, folder / "a.jsonl", author="ana", trusted=True)
        assert exported(one) == exported(two)
        assert two.rows()[0].content == one.rows()[0].content


def test_what_was_active_elsewhere_is_proposed_here_unless_it_is_trusted(full: Library, tmp_path: Path) -> None:
    export_jsonl(full, tmp_path / "a.jsonl")
    with Library(tmp_path / "copy") as copy:
        import_jsonl(copy, tmp_path / "a.jsonl", author="cy")
        assert {row.state for row in copy.rows()} == {"proposed"}
        assert all(version.snapshot.state != "active" for row in copy.rows() for version in copy.history(row.row_id))


def test_an_import_again_changes_nothing_and_a_longer_history_goes_on(full: Library, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    export_jsonl(full, path)
    with Library(tmp_path / "copy") as copy:
        import_jsonl(copy, path, author="cy")
        before = exported(copy)
        again = import_jsonl(copy, path, author="cy")
        assert (again.added, again.continued, again.entry) == ((), (), None)
        assert exported(copy) == before
        (row,) = full.rows("tool")
        edit(full, row.row_id, tool(x=2).content, author="ana", expected_version=row.version)
        export_jsonl(full, path)
        assert import_jsonl(copy, path, author="cy").continued == (row.row_id,)
        assert copy.row(row.row_id).content["x"] == 2


def test_an_import_can_be_undone(full: Library, tmp_path: Path) -> None:
    export_jsonl(full, tmp_path / "a.jsonl")
    with Library(tmp_path / "copy") as copy:
        entry = import_jsonl(copy, tmp_path / "a.jsonl", author="cy").entry
        assert entry is not None
        copy.undo(entry, author="cy")
        assert copy.rows() == []


def test_a_row_with_another_history_here_is_refused(full: Library, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    export_jsonl(full, path)
    with Library(tmp_path / "copy") as copy:
        import_jsonl(copy, path, author="cy")
        (row,) = copy.rows("tool")
        edit(copy, row.row_id, tool(x="here").content, author="cy", expected_version=row.version)
        (there,) = full.rows("tool")
        edit(full, row.row_id, tool(x="there").content, author="ana", expected_version=there.version)
        export_jsonl(full, path)
        before = exported(copy)
        with pytest.raises(ImportRefused, match=r"a\.jsonl, line \d+: the row .* has another history here"):
            import_jsonl(copy, path, author="cy")
        assert exported(copy) == before


def test_a_trusted_import_that_would_make_a_second_active_tool_of_a_name_is_refused(
    full: Library, tmp_path: Path
) -> None:
    export_jsonl(full, tmp_path / "a.jsonl")
    with Library(tmp_path / "copy") as copy:
        row = copy.add(tool(), author="cy")
        move(copy, row.row_id, "approve", author="cy", expected_version=1)
        with pytest.raises(ImportRefused, match=r"line .*named 'add' is active already"):
            import_jsonl(copy, tmp_path / "a.jsonl", author="cy", trusted=True)
        assert len(copy.rows()) == 1


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[list[str]], list[str]]:
    """The file with its last row changed."""

    def apply(lines: list[str]) -> list[str]:
        fields = json.loads(lines[3])
        change(fields)
        return [*lines[:3], json.dumps(fields), *lines[4:]]

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda lines: [], "no export of a library"),
        (lambda lines: ["{}", *lines[1:]], "no export of a library"),
        (lambda lines: [lines[0].replace('"version":1', '"version":2'), *lines[1:]], "version 2 of the format"),
        (lambda lines: [*lines[:3], lines[3][:50], *lines[4:]], "line 4 is no JSON"),
        (lambda lines: [*lines[:3], "[]", *lines[4:]], "line 4 is no JSON object"),
        (lambda lines: [*lines, lines[1]], "again"),
        (broken(lambda row: row.pop("versions")), "line 4 is no row .*'versions'"),
        (broken(lambda row: row.update(versions=[])), "it has no version"),
        (broken(lambda row: row.update(kind="song")), "its kind is 'song'"),
        (broken(lambda row: row["versions"][0].update(state="odd")), "version 1 has the state 'odd'"),
        (broken(lambda row: row["versions"][0].update(content={})), "line 4: The "),
        (broken(lambda row: row["versions"][0].update(time="late")), "line 4 is no row"),
        (broken(lambda row: row["versions"][0].update(time=float("inf"))), "line 4 is no row .*time inf is none"),
        (broken(lambda row: row["versions"][0].update(time=1e300)), "line 4 is no row .*time 1e\\+300 is none"),
        (broken(lambda row: row["versions"][0].update(author=3)), "no text"),
        (broken(lambda row: row.update(row="")), "its id is no text"),
    ],
)
def test_a_file_that_is_malformed_half_way_is_refused_with_its_line_and_nothing_is_taken(
    full: Library, tmp_path: Path, damage: Callable[[list[str]], list[str]], sentence: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{line}\n" for line in damage(exported(full))), encoding="utf-8")
    with Library(tmp_path / "copy") as copy:
        with pytest.raises(ImportRefused, match=sentence):
            import_jsonl(copy, path, author="cy")
        assert copy.row_ids() == set()
        assert copy.journal() == []


def test_a_byte_order_mark_is_no_part_of_a_file(full: Library, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{line}\n" for line in exported(full)), encoding="utf-8-sig")
    with Library(tmp_path / "copy") as copy:
        import_jsonl(copy, path, author="cy", trusted=True)
        assert exported(copy) == exported(full)


def test_an_export_to_a_place_that_cannot_be_written_is_refused_with_a_sentence(full: Library, tmp_path: Path) -> None:
    with pytest.raises(LibraryUnwritable, match="choose another place"):
        export_jsonl(full, tmp_path / "none" / "a.jsonl")


def test_all_errors_are_one_sentence_of_one_tree(tmp_path: Path) -> None:
    with Library(tmp_path) as library, pytest.raises(LibraryError, match=r"^[A-Z].*[^.]\.$"):
        library.add(Snapshot("tool", {}), author="ana")
