"""Rows, versions, states, plans and their undoing, uses."""

import json
from pathlib import Path
from typing import Any

import pytest
from rows_at_hand import concept, edit, lesson, move, tool

from memory.errors import ChangeRefused, ContentRefused, RowChanged, RowNotFound
from memory.planning import (
    describe,
    joined,
    plan_edit,
    plan_merge,
    plan_move,
    plan_new,
    plan_revert,
    plan_split,
    plan_tags,
)
from memory.store import Library
from memory.values import Plan, Snapshot


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_a_new_row_is_proposed_and_its_id_outlives_reopening(library: Library) -> None:
    row = library.add(tool(), author="model")
    assert (row.state, row.version, row.name) == ("proposed", 1, "add")
    library.close()
    assert Library(library.folder).row(row.row_id) == row


def test_every_edit_is_a_new_version_and_the_old_ones_stay(library: Library) -> None:
    row = library.add(tool(), author="ana")
    edited = edit(library, row.row_id, tool(note="b").content, author="bo", expected_version=1, note="why")
    history = library.history(row.row_id)
    assert [(one.number, one.author, one.action) for one in history] == [(1, "ana", "create"), (2, "bo", "edit")]
    assert history[0].snapshot == row.snapshot
    assert history[1].snapshot == edited.snapshot != row.snapshot
    assert history[1].note == "why"


def test_equal_contents_have_one_hash_whatever_the_order_of_their_fields(library: Library) -> None:
    row = library.add(tool(x=1, y=2), author="ana")
    same = library.add(tool(y=2, x=1), author="ana")
    assert row.snapshot.content_hash == same.snapshot.content_hash
    approved = move(library, row.row_id, "approve", author="ana", expected_version=1)
    assert approved.snapshot.content_hash == row.snapshot.content_hash


def test_diff_shows_lines_of_code_and_revert_brings_the_old_content_back(library: Library) -> None:
    row = library.add(tool(docstring="Old words."), author="ana")
    edit(library, row.row_id, tool(docstring="New words.").content, author="ana", expected_version=1)
    diff = library.diff(row.row_id, 1)
    assert '-code:     """Old words."""' in diff
    assert '+code:     """New words."""' in diff
    library.apply(plan_revert(library.row(row.row_id), library.version(row.row_id, 1)), author="ana")
    reverted = library.row(row.row_id)
    assert (reverted.version, reverted.content) == (3, row.content)


def test_a_change_from_an_old_version_is_refused_and_changes_nothing(library: Library) -> None:
    row = library.add(tool(), author="ana")
    edit(library, row.row_id, tool(who="first").content, author="ana", expected_version=1)
    with pytest.raises(RowChanged, match="is at version 2, not at 1"):
        edit(library, row.row_id, tool(who="second").content, author="bo", expected_version=1)
    with pytest.raises(RowChanged):
        move(library, row.row_id, "approve", author="bo", expected_version=1)
    assert library.row(row.row_id).content["who"] == "first"
    assert library.row(row.row_id).state == "proposed"


@pytest.mark.parametrize(
    ("path", "last"), [(("approve", "retire", "restore", "approve"), "active"), (("reject",), "retired")]
)
def test_states_follow_the_verbs(library: Library, path: tuple[str, ...], last: str) -> None:
    row = library.add(tool(), author="ana")
    for verb in path:
        row = move(library, row.row_id, verb, author="ana", expected_version=row.version)
    assert row.state == last
    assert [one.action for one in library.history(row.row_id)] == ["create", *path]


def test_a_verb_that_does_not_fit_the_state_is_refused(library: Library) -> None:
    row = library.add(tool(), author="ana")
    move(library, row.row_id, "approve", author="ana", expected_version=1)
    with pytest.raises(ChangeRefused, match="is active, and only proposed ones can be told to approve"):
        move(library, row.row_id, "approve", author="ana", expected_version=2)


def test_two_active_tools_cannot_share_a_name_but_proposed_ones_can(library: Library) -> None:
    first, second = (library.add(tool(number=number), author="ana") for number in (1, 2))
    move(library, first.row_id, "approve", author="ana", expected_version=1)
    with pytest.raises(ChangeRefused, match=f"named 'add' is active already \\({first.row_id}\\)"):
        move(library, second.row_id, "approve", author="ana", expected_version=1)
    library.apply(
        joined("swap", [plan_move([library.row(first.row_id)], "retire"), plan_move([second], "approve")]), author="ana"
    )
    active = library.active("tool", "add")
    assert active is not None
    assert active.row_id == second.row_id


def test_a_plan_whose_last_row_is_refused_changes_no_row(library: Library) -> None:
    rows = [library.add(tool(f"f{number}"), author="ana") for number in range(3)]
    plan = plan_move(rows, "approve")
    edit(library, rows[2].row_id, tool("f2", x=1).content, author="bo", expected_version=1)
    with pytest.raises(RowChanged):
        library.apply(plan, author="ana")
    assert [row.state for row in library.rows("tool")] == ["proposed"] * 3
    assert len(library.journal()) == 4


def test_a_bulk_change_is_shown_before_it_is_done_and_can_be_undone(library: Library) -> None:
    rows = [library.add(tool(f"f{number}"), author="ana") for number in range(2)]
    plan = plan_tags(rows, add=["math"])
    assert "+tags[]: math" in describe(plan)
    assert library.rows(tag="math") == []
    entry = library.apply(plan, author="ana")
    assert len(library.rows(tag="math")) == 2
    undone = library.undo(entry.number, author="ana")
    assert library.rows(tag="math") == []
    assert [row.snapshot for row in library.rows()] == [row.snapshot for row in rows]
    with pytest.raises(ChangeRefused, match="is undone already"):
        library.undo(entry.number, author="ana")
    library.undo(undone.number, author="ana")
    assert len(library.rows(tag="math")) == 2
    library.undo(entry.number, author="ana")  # it holds again
    assert library.rows(tag="math") == []


def test_an_entry_cannot_be_undone_over_a_later_change(library: Library) -> None:
    rows = [library.add(tool(f"f{number}"), author="ana") for number in range(2)]
    entry = library.apply(plan_move(rows, "approve"), author="ana")
    library.apply(plan_tags([library.row(rows[0].row_id)], add=["x"]), author="bo")
    with pytest.raises(ChangeRefused, match=r"'f0' .* was changed after entry"):
        library.undo(entry.number, author="ana")
    assert {row.state for row in library.rows()} == {"active"}


def test_changes_of_one_row_are_undone_one_after_the_other_and_an_undoing_can_be_undone(library: Library) -> None:
    row = library.add(tool(note="1"), author="ana")
    for version, note in enumerate("234", start=1):
        edit(library, row.row_id, tool(note=note).content, author="ana", expected_version=version)
    created, second, third, fourth = (entry.number for entry in reversed(library.journal()))

    def note() -> Any:
        return library.row(row.row_id).content["note"]

    back = library.undo(fourth, author="ana")
    library.undo(third, author="ana")
    assert note() == "2"
    with pytest.raises(ChangeRefused, match="is undone already"):
        library.undo(fourth, author="ana")
    with pytest.raises(ChangeRefused, match="changed after"):
        library.undo(back.number, author="ana")  # what it brought back is not what holds
    library.undo(library.journal(1)[0].number, author="ana")  # the undoing of the third
    assert note() == "3"
    library.undo(back.number, author="ana")
    assert note() == "4"
    for entry, left in ((fourth, "3"), (third, "2"), (second, "1")):
        library.undo(entry, author="ana")
        assert note() == left
    library.undo(created, author="ana")
    assert library.row(row.row_id).state == "retired"


def test_a_merge_can_be_undone_once_the_edit_after_it_was_undone(library: Library) -> None:
    keep, other = (library.add(tool(name), author="ana") for name in ("total", "sum_up"))
    merge = library.apply(plan_merge(keep, [other]), author="ana")
    edit(library, keep.row_id, tool("total", "Edited.").content, author="bo", expected_version=2)
    with pytest.raises(ChangeRefused, match="changed after"):
        library.undo(merge.number, author="ana")
    library.undo(merge.number + 1, author="bo")
    library.undo(merge.number, author="ana")
    assert [library.row(one.row_id).snapshot for one in (keep, other)] == [keep.snapshot, other.snapshot]
    with pytest.raises(ChangeRefused, match="name each row once"):
        plan_merge(keep, [other, other])


def test_undoing_a_creation_retires_the_row(library: Library) -> None:
    row = library.add(tool(), author="ana")
    library.undo(library.journal()[0].number, author="ana")
    assert library.row(row.row_id).state == "retired"


def test_a_merge_keeps_all_problems_and_retires_the_others(library: Library) -> None:
    keep = library.add(tool("total", "Total.", "How much is 1 and 2?"), author="ana")
    other = library.add(tool("sum_up", "Total.", "What do 3 and 4 make?", "How much is 1 and 2?"), author="ana")
    entry = library.apply(plan_merge(keep, [other]), author="ana")
    merged = library.row(keep.row_id)
    assert [problem["text"] for problem in merged.content["problems"]] == [
        "How much is 1 and 2?",
        "What do 3 and 4 make?",
    ]
    retired = library.row(other.row_id)
    assert (retired.state, retired.snapshot.provenance["merged_into"]) == ("retired", keep.row_id)
    library.undo(entry.number, author="ana")
    assert library.row(other.row_id).snapshot == other.snapshot
    assert library.row(keep.row_id).snapshot == keep.snapshot


def test_merging_concepts_adds_cues_and_keeps_the_older_words(library: Library) -> None:
    keep = library.add(concept(description="Old.", cues=["a"], parameters=[{"name": "x"}]), author="ana")
    other = library.add(concept("paint", description="New.", cues=["b"], parameters=[{"name": "y"}]), author="ana")
    library.apply(plan_merge(keep, [other]), author="ana")
    merged = library.row(keep.row_id).content
    assert (merged["description"], merged["cues"]) == ("Old.", ["a", "b"])
    assert [parameter["name"] for parameter in merged["parameters"]] == ["x", "y"]


def test_a_merge_of_a_tool_and_a_concept_is_refused(library: Library) -> None:
    rows = [library.add(item, author="ana") for item in (tool(), concept())]
    with pytest.raises(ChangeRefused, match="rows of one kind"):
        plan_merge(rows[0], rows[1:])


def test_a_split_makes_proposed_rows_of_the_parts(library: Library) -> None:
    row = library.add(lesson("both"), author="ana")
    library.apply(plan_split(row, [lesson("one").content, lesson("two").content]), author="ana")
    assert library.row(row.row_id).state == "retired"
    parts = library.rows("concept")
    assert [part.name for part in parts] == ["one", "two"]
    assert all(part.snapshot.provenance["split_from"] == row.row_id for part in parts)


def test_a_row_twice_in_one_plan_is_refused(library: Library) -> None:
    row = library.add(tool(), author="ana")
    with pytest.raises(ChangeRefused, match="changed twice"):
        joined("both", [plan_move([row], "approve"), plan_tags([row], add=["x"])])
    with pytest.raises(ChangeRefused, match="nothing to change"):
        library.apply(Plan("none", ()), author="ana")


def test_purging_asks_for_retired_rows_and_leaves_nothing(library: Library) -> None:
    row = library.add(tool(secret="s3cret"), author="ana")
    library.record_retrieval("run-1", {row.row_id: {}})
    with pytest.raises(ChangeRefused, match="retire it before"):
        library.purge([row.row_id])
    move(library, row.row_id, "reject", author="ana", expected_version=1)
    library.purge([row.row_id])
    with pytest.raises(RowNotFound):
        library.row(row.row_id)
    with library.reading() as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM uses").fetchone() == (0,)


def test_uses_are_counted_for_each_content_not_for_each_version(library: Library) -> None:
    row = library.add(tool(), author="ana")
    library.record_retrieval("run-1", {row.row_id: {"score": 0.5}})
    library.record_use("run-1", row.row_id)
    library.record_outcome("run-1", solved=True)
    row = move(library, row.row_id, "approve", author="ana", expected_version=1)
    library.record_retrieval("run-2", {row.row_id: {}})
    library.record_outcome("run-2", solved=False)
    row = edit(library, row.row_id, tool(x=1).content, author="ana", expected_version=2)
    library.record_retrieval("run-3", {row.row_id: {}})
    first, second = library.usage(row.row_id)
    assert (first.retrieved, first.used, first.solved_when_used, first.unsolved_when_used) == (2, 1, 1, 0)
    assert (second.content_hash, second.retrieved, second.used) == (row.snapshot.content_hash, 1, 0)
    assert library.uses(run_id="run-1")[0].why == {"score": 0.5}
    assert library.uses(run_id="run-3")[0].solved is None


def test_the_use_of_a_row_that_was_not_retrieved_is_refused(library: Library) -> None:
    row = library.add(tool(), author="ana")
    with pytest.raises(RowNotFound, match="was not retrieved in run"):
        library.record_use("run-1", row.row_id)


def test_one_unknown_row_makes_the_whole_retrieval_unrecorded(library: Library) -> None:
    row = library.add(tool(), author="ana")
    with pytest.raises(RowNotFound):
        library.record_retrieval("run-1", {row.row_id: {}, "tool-none": {}})
    assert library.uses(run_id="run-1") == []


def test_that_two_rows_are_two_is_remembered_through_edits(library: Library) -> None:
    first, second = (library.add(tool(f"f{number}"), author="ana") for number in (1, 2))
    library.mark_not_duplicates(second.row_id, first.row_id, author="ana")
    edit(library, first.row_id, tool("f1", x=1).content, author="ana", expected_version=1)
    assert list(library.not_duplicates()) == [tuple(sorted((first.row_id, second.row_id)))]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"code": "def f(:"}, "is not Python .* in line 1"),
        ({"code": "x = 1"}, "defines no public function"),
        ({"code": "def f(): ...\ndef g(): ..."}, r"defines 2 functions \(f, g\)"),
        ({"code": "def f(): ...", "name": "g"}, "defines no function of that name"),
        ({"code": "def f(): ...\0"}, "cannot be read|is not Python"),
        ({"code": "(" * 5000 + ")" * 5000}, "cannot be read|is not Python"),
        ({"name": "f"}, "has no 'code'"),
        ({"code": 3}, "no text but a number"),
        ({"code": "def f(): ...", "problems": [{"answer": 1}]}, "Problem 1 of the tool 'f' has no 'text'"),
        ({"code": "def f(): ...", "x": float("nan")}, "JSON cannot say"),
        ({"code": "def f(): ...", "x": {1: 2}}, "field names"),
        ({"code": "def f(): ...", "x": object()}, "cannot be kept as JSON"),
        ({"code": "def f(): ...", "x": "\ud800"}, "UTF-8"),
        ({"code": "def f(): ...", "x": json.loads("[" * 700 + "]" * 700)}, "nested too deeply"),
        ({"code": "def f(): pass\n" + "#" * 200_000}, "more than 200000"),
    ],
)
def test_a_malformed_tool_is_refused_with_a_sentence_and_nothing_is_written(
    library: Library, content: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ContentRefused, match=sentence):
        library.apply(plan_new([tool(), Snapshot("tool", content)]), author="ana")
    assert library.rows() == []


def test_a_tool_may_have_private_helpers_and_unknown_fields_are_kept(library: Library) -> None:
    code = "def _half(n):\n    return n / 2\n\n\ndef quarter(n):\n    return _half(_half(n))\n"
    row = library.add(Snapshot("tool", {"code": code, "from_elsewhere": {"deep": [1, None]}}), author="ana")
    assert row.name == "quarter"
    assert row.content["from_elsewhere"] == {"deep": [1, None]}


def test_an_edit_is_checked_like_a_new_row(library: Library) -> None:
    row = library.add(tool(), author="ana")
    with pytest.raises(ContentRefused):
        plan_edit(row, {"code": "def"})


def test_an_edit_keeps_the_provenance_unless_it_brings_its_own(library: Library) -> None:
    row = library.add(tool().with_(provenance={"run": "r1", "model": "m"}), author="model")
    edited = edit(library, row.row_id, tool(x=1).content, author="ana", expected_version=1)
    assert edited.snapshot.provenance == {"run": "r1", "model": "m"}
    again = edit(library, row.row_id, tool(x=2).content, author="m", expected_version=2, provenance={"run": "r2"})
    assert again.snapshot.provenance == {"run": "r2"}


def test_half_a_character_anywhere_is_refused_with_a_sentence_and_nothing_is_written(library: Library) -> None:
    row = library.add(tool(), author="ana")
    half = "\ud800"
    for change in (
        lambda: library.add(tool(), author="ana", note=half),
        lambda: library.add(tool(), author=half),
        lambda: library.add(tool().with_(tags=(half,)), author="ana"),
        lambda: move(library, row.row_id, "approve", author="ana", expected_version=1, note=half),
        lambda: library.active("tool", half),
        lambda: library.uses(run_id=half),
    ):
        with pytest.raises(ContentRefused, match="repair it"):
            change()
    assert [(one.version, one.state) for one in library.rows()] == [(1, "proposed")]
    assert len(library.journal()) == 1


def test_a_signature_that_is_too_long_to_be_told_is_refused(library: Library) -> None:
    for default in ("+".join("1" * 900), f"0x{'f' * 9000}"):
        code = f'def add(a={default}):\n    """Sum."""\n    return a\n'
        with pytest.raises(ContentRefused, match="make it shorter"):
            library.add(Snapshot("tool", {"name": "add", "code": code}), author="ana")
