"""Curating in Python: every verb, what it shows first, what it refuses, and that it can be undone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder

from memory.effects import Trial
from memory.errors import ChangeRefused, ImportRefused, LibraryTooNew, LibraryUnwritable, RowChanged, RowNotFound
from memory.planning import plan_tags
from memory.values import Entry, Plan
from toolsets.shelf import LIMITS
from workbench.libraries import Libraries

DOUBLE = {
    "code": 'def double(n: int) -> int:\n    """Twice a number."""\n    return 2 * n\n',
    "calls": [{"arguments": {"n": 4}, "result": 8}],
    "problems": [{"text": "What is twice 21?", "call": "double(21)", "answer": "42"}],
}
RECOLOR = {"title": "recolor cells", "kind": "routine", "cues": ["one colour becomes another"], "description": "Paint."}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Libraries]:
    with Libraries(tmp_path, author="ana", embedder=HashEmbedder()) as opened:
        yield opened


def as_json(value: Any) -> Any:
    """Through text and back: whatever is no plain JSON fails here."""
    return json.loads(json.dumps(value.to_json() if hasattr(value, "to_json") else value))


def test_the_built_in_tools_are_in_a_new_library_and_asking_whether_there_is_one_makes_none(tmp_path: Path) -> None:
    with Libraries(tmp_path) as home:
        assert not home.exists
        assert list(tmp_path.iterdir()) == []
        assert {"gcd", "add"} <= {row.name for row in home.tools.rows()}
        assert home.exists
        assert len(home.concepts.rows()) == 0


def test_a_search_says_why_each_row_was_found_and_retired_rows_are_not(home: Libraries) -> None:
    home.tools.add(DOUBLE)
    found = home.tools.search("What is twice 22?")
    assert found[0].name == "double"
    why = as_json(found)["rows"][0]["why"]
    assert why["view"] == "problem"
    assert why["exemplar"] == "What is twice 21?"
    assert why["score"] > 0
    assert "What is twice 21?" in found[0].why
    home.tools.reject("double")
    assert "double" not in {row.name for row in home.tools.search("What is twice 22?")}


def test_a_search_takes_any_text_and_refuses_what_is_none(home: Libraries) -> None:
    home.tools.add(DOUBLE)
    assert home.tools.search("What is twice 22? \udcff")[0].name == "double", "as a terminal hands over broken bytes"
    assert home.tools.search("What is twice 22?", states="proposed")[0].name == "double"
    for search in (lambda: home.tools.search(5), lambda: home.tools.search("x", limit="all")):  # type: ignore[arg-type]
        with pytest.raises(ChangeRefused):
            search()
    with pytest.raises(RowNotFound, match="named by a text"):
        home.tools.show(5)  # type: ignore[arg-type]


def test_a_row_is_named_by_id_by_how_the_id_begins_or_by_name_and_an_unclear_name_is_refused(home: Libraries) -> None:
    row = home.tools.add(DOUBLE)
    assert home.tools.show(row.id).name == home.tools.show(row.id[:10]).name == home.tools.show("double").name
    assert home.tools.show(row.id.partition("-")[2][:6]).id == row.id
    home.tools.add({**DOUBLE, "problems": []})
    with pytest.raises(RowNotFound, match="2 tools answer to 'double'"):
        home.tools.show("double")
    with pytest.raises(RowNotFound, match="no tool 'halve'"):
        home.tools.show("halve")


def test_approval_edit_diff_history_and_revert_are_versions_with_author_and_note(home: Libraries) -> None:
    home.concepts.add(RECOLOR)
    home.concepts.approve("recolor cells", note="seen it work")
    home.concepts.edit("recolor cells", description="Paint cells in another colour.", cues=None)
    assert any("Paint cells" in line for line in home.concepts.diff("recolor cells"))
    assert any("Paint cells" in line for line in home.concepts.diff("recolor cells", 1, 3))
    done = home.concepts.revert("recolor cells", 1)
    assert done.row.row.content["description"] == "Paint."
    assert done.row.state == "active"
    history = home.concepts.history("recolor cells")
    assert [one.version.action for one in history] == ["create", "approve", "edit", "revert"]
    assert as_json(history[1].to_json())["note"] == "seen it work"
    assert {one.version.author for one in history} == {"ana"}


def test_a_revert_names_its_own_entry_whoever_writes_right_after_it(
    home: Libraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = home.concepts.add(RECOLOR)
    home.concepts.edit(row.id, description="Other.")
    apply = home.library.apply

    def then_another(plan: Plan, **how: Any) -> Entry:
        entry = apply(plan, **how)
        apply(plan_tags(home.library.rows("tool")[:1], add=["later"]), author="bo")
        return entry

    monkeypatch.setattr(home.library, "apply", then_another)
    done = home.concepts.revert(row.id, 1)
    monkeypatch.undo()
    home.concepts.undo(done.entry).apply()
    assert home.concepts.show(row.id).row.content["description"] == "Other."


def test_a_row_without_tags_is_told_without_a_gap(home: Libraries) -> None:
    home.concepts.add(RECOLOR)
    assert str(home.concepts.show("recolor cells")).splitlines()[1].startswith("shown in 0 runs")


def test_a_change_made_from_an_older_version_is_refused(home: Libraries) -> None:
    home.concepts.add(RECOLOR)
    home.concepts.edit("recolor cells", description="Other.")
    with pytest.raises(RowChanged, match="at version 2, not at 1"):
        home.concepts.approve("recolor cells", expected_version=1)
    assert home.concepts.show("recolor cells").state == "proposed"


def test_a_merge_of_tools_carries_the_calls_and_they_still_run(home: Libraries) -> None:
    twice = {
        "code": 'def twice(x: int, exactly: bool = True) -> int:\n    """Two times a number."""\n    return x + x\n',
        "calls": [
            {"arguments": {"x": 5}, "result": 10},
            {"arguments": {"x": 1, "exactly": False}, "result": 2},
            {"arguments": {"x": 4}, "result": 8},
        ],
        "problems": [{"text": "Take 11 two times.", "call": "print(twice(11))", "answer": "22"}],
    }
    home.tools.add(DOUBLE)
    home.tools.add(twice)
    proposal = home.tools.merge("double", "twice")
    assert '+calls[]: {"arguments": {"n": 5}, "result": 10}' in str(proposal)
    kept = proposal.apply().row
    # The call with an argument that the kept tool has no place for stays with the retired row.
    assert [one["arguments"] for one in kept.row.content["calls"]] == [{"n": 4}, {"n": 5}]
    tried = home.tools.try_("double")
    assert tried.passed
    assert [one.code or one.arguments for one in tried.calls] == [{"n": 4}, {"n": 5}, {"n": 21}, "print(twice(11))"]


def test_a_merge_shows_what_it_will_do_does_it_when_applied_and_can_be_undone(home: Libraries) -> None:
    keep = home.concepts.add(RECOLOR)
    other = home.concepts.add({**RECOLOR, "title": "change colours", "cues": ["colours swap"]})
    proposal = home.concepts.merge("recolor cells", "change colours")
    assert "colours swap" in str(proposal)
    assert home.concepts.show(other.id).state == "proposed"
    done = proposal.apply()
    assert home.concepts.show(other.id).state == "retired"
    assert "colours swap" in home.concepts.show(keep.id).row.content["cues"]
    assert done.entry is not None
    home.concepts.undo(done.entry).apply()
    assert home.concepts.show(other.id).state == "proposed"
    assert "colours swap" not in home.concepts.show(keep.id).row.content["cues"]


def test_a_proposal_is_refused_when_a_row_changed_after_it_was_made(home: Libraries) -> None:
    home.concepts.add(RECOLOR)
    home.concepts.add({**RECOLOR, "title": "change colours"})
    proposal = home.concepts.bulk("approve", states=["proposed"])
    home.concepts.edit("recolor cells", description="Other.")
    with pytest.raises(RowChanged):
        proposal.apply()
    assert {row.state for row in home.concepts.rows()} == {"proposed"}


def test_a_split_retires_the_row_and_proposes_its_parts(home: Libraries) -> None:
    home.concepts.add(RECOLOR)
    parts = [{**RECOLOR, "title": "find cells"}, {**RECOLOR, "title": "paint cells"}]
    home.concepts.split("recolor cells", parts).apply()
    assert {row.name: row.state for row in home.concepts.rows(states=["proposed", "retired"])} == {
        "recolor cells": "retired",
        "find cells": "proposed",
        "paint cells": "proposed",
    }


def test_bulk_changes_take_rows_by_tag_and_undo_without_a_number_takes_the_last_back(home: Libraries) -> None:
    for title in ("first", "second"):
        home.concepts.add({**RECOLOR, "title": title}, tags=["colours"])
    home.concepts.bulk("approve", tag="colours").apply()
    assert {row.state for row in home.concepts.rows()} == {"active"}
    home.concepts.undo().apply()
    assert {row.state for row in home.concepts.rows()} == {"proposed"}
    with pytest.raises(ChangeRefused, match="Say which rows"):
        home.concepts.bulk("approve")


def test_purging_must_be_meant_and_only_retired_rows_go(home: Libraries) -> None:
    kept = home.concepts.add({**RECOLOR, "title": "kept"})
    row = home.concepts.add(RECOLOR)
    with pytest.raises(ChangeRefused, match="sure=True"):
        home.concepts.purge(row.id)
    with pytest.raises(ChangeRefused, match="retire it before"):
        home.concepts.purge(row.id, sure=True)
    home.concepts.reject(row.id)
    assert home.concepts.purge(row.id, sure=True) == [row.id]
    with pytest.raises(RowNotFound):
        home.concepts.show(row.id)
    # Taking back the last change means the last of which something is left.
    assert home.concepts.undo().apply().row.id == kept.id


def test_trying_a_tool_says_that_there_was_nothing_to_try_or_that_it_took_too_long(
    home: Libraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.tools.add({"code": 'def spin(n: int) -> int:\n    """Spin."""\n    while True:\n        n += 1\n'})
    assert str(home.tools.try_("spin")).startswith("spin: not tried")
    monkeypatch.setattr("toolsets.shelf.LIMITS", replace(LIMITS, time_s=1.0))
    tried = home.tools.try_("spin", {"n": 1})
    assert [call.error for call in tried.calls] == ["The code was stopped at its time limit of 1 s."]


def test_trying_a_tool_runs_its_examples_in_the_sandbox_and_tells_a_wrong_one(home: Libraries) -> None:
    home.tools.add(DOUBLE)
    tried = home.tools.try_("double")
    assert tried.passed
    assert [call.result for call in tried.calls] == ["8", "42"]
    assert "runs in this process" not in tried.isolation
    home.tools.edit("double", calls=[{"arguments": {"n": 4}, "result": 9}])
    tried = home.tools.try_("double")
    assert not tried.passed
    assert as_json(tried)["calls"][0]["agrees"] is False


def test_the_examples_of_a_docstring_are_tried_too(home: Libraries) -> None:
    examples = ">>> half(4)\n    2\n    >>> half(n=6)\n    4"
    code = f'def half(n: int) -> int:\n    """Half.\n\n    {examples}\n    """\n    return n // 2\n'
    first, second = home.tools.try_(home.tools.add({"code": code}).id).calls
    assert (first.arguments, first.result, first.agrees) == ({"n": 4}, "2", True)
    assert (second.result, second.expected, second.agrees) == ("3", "4", False)


def test_a_call_that_is_code_is_tried_around_the_tool_and_held_against_the_answer(home: Libraries) -> None:
    problem = {"text": "Both?", "answer": "1,250 pens", "call": "data = [1000, 250]\nprint(total(data))"}
    code = 'def total(values: list[int]) -> int:\n    """Total."""\n    return sum(values)\n'
    row = home.tools.add({"code": code, "problems": [problem]})
    (call,) = home.tools.try_(row.id).calls
    assert (call.result, call.agrees, call.code) == ("1250", True, problem["call"])
    home.tools.edit(row.id, problems=[{**problem, "answer": "7"}])
    tried = home.tools.try_(row.id)
    assert not tried.passed
    assert "print(total(data)) -> 1250, expected 7" in str(tried)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    while True: pass\n", "time limit"),
        ("    import nowhere\n    return n\n", "nowhere"),
        ("    return n.upper()\n", "upper"),
        ("    open('/etc/passwd').read()\n", "denied"),
    ],
)
def test_a_tool_that_hangs_breaks_or_reaches_out_is_told_and_costs_nothing_else(
    home: Libraries, body: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told == "time limit":  # nobody should wait for the usual one
        monkeypatch.setattr("toolsets.shelf.LIMITS", replace(LIMITS, time_s=0.5))
    home.tools.add({"code": f'def bad(n: int) -> int:\n    """Bad."""\n{body}'})
    (call,) = home.tools.try_("bad", {"n": 1}).calls
    assert call.error is not None
    assert told in call.error


def test_what_helped_is_shown_for_the_present_content_only(home: Libraries) -> None:
    row = home.concepts.add(RECOLOR)
    content = row.row.snapshot.content_hash
    trials = [Trial(row.id, content, str(case), 1.0, 1.0, 0.0 if case < 18 else 1.0) for case in range(20)]
    home.library.record_trials(trials)
    helped = as_json(home.concepts.show(row.id))["helped"]
    assert helped["verdict"] == "helped"
    assert helped["difference"] == 0.9
    assert helped["interval"][0] > 0.5
    home.concepts.edit(row.id, description="Another.")
    assert home.concepts.show(row.id).helped is None


def test_why_tells_the_reason_that_a_run_was_given_and_how_it_ended(home: Libraries) -> None:
    row = home.concepts.add(RECOLOR)
    home.library.record_retrieval("run-1", {row.id: {"view": "cue", "evidence": []}})
    home.library.record_use("run-1", row.id)
    home.library.record_outcome("run-1", True)
    (use,) = home.concepts.why("run-1")
    assert (use["name"], use["used"], use["solved"], use["why"]["view"]) == ("recolor cells", True, True, "cue")
    assert home.tools.why("run-1") == []
    assert home.concepts.show(row.id).to_json()["usage"] == {"retrieved": 1, "used": 1, "solved": 1, "unsolved": 0}


def test_an_import_says_what_it_would_add_and_an_export_comes_back_with_everything(
    home: Libraries, tmp_path: Path
) -> None:
    file = tmp_path / "lessons.yaml"
    file.write_text("- situation: a colour changes\n  suggestion: map old to new\n")
    proposal = home.concepts.import_from(file)
    assert "map old to new" in str(proposal)
    assert len(home.concepts.rows()) == 0
    proposal.apply()
    again = home.concepts.import_from(file)
    assert again.unchanged == ("a colour changes",)
    assert str(again) == "There is nothing to change.\nalready here: a colour changes"
    home.concepts.approve("a colour changes")
    out = home.concepts.export_to(tmp_path / "library.jsonl")
    with Libraries(tmp_path / "other", embedder=HashEmbedder()) as other:
        rehearsed = other.concepts.import_from(out)
        assert len(other.concepts.rows()) == 0
        rehearsed.apply()
        assert [(row.name, row.state) for row in other.concepts.rows()] == [("a colour changes", "proposed")]
        assert len(other.tools.rows()) == len(home.tools.rows())


def test_a_backup_restored_into_a_new_library_is_the_same_library(home: Libraries, tmp_path: Path) -> None:
    row = home.concepts.add(RECOLOR)
    home.concepts.approve(row.id)
    gcd = home.tools.show("gcd")
    home.library.record_retrieval("run-1", {row.id: {}, gcd.id: {}})
    home.library.record_trials([Trial(row.id, row.row.snapshot.content_hash, "case", 1.0, 1.0, 0.5)])
    out = home.concepts.export_to(tmp_path / "library.jsonl")
    with Libraries(tmp_path / "other", embedder=HashEmbedder()) as other:
        assert not other.exists
        other.tools.import_from(out, trusted=True).apply()
        again = other.tools.export_to(tmp_path / "again.jsonl")
        assert again.read_bytes() == out.read_bytes()
        assert other.concepts.show(row.id).helped is not None


def test_a_file_that_breaks_off_half_way_changes_nothing_and_the_line_is_named(home: Libraries, tmp_path: Path) -> None:
    file = tmp_path / "lessons.yaml"
    file.write_text("- situation: a\n  suggestion: b\n- situation: c\n  suggestion: [\n")
    with pytest.raises(ImportRefused, match="line"):
        home.concepts.import_from(file)
    export = home.concepts.export_to(tmp_path / "all.jsonl")
    torn = tmp_path / "torn.jsonl"
    torn.write_text(export.read_text()[:-40])
    before = len(home.tools.rows())
    with pytest.raises(ImportRefused, match="line"):
        home.tools.import_from(torn)
    assert len(home.tools.rows()) == before


def test_an_interrupted_import_leaves_nothing(home: Libraries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memory import rows

    file = tmp_path / "lessons.yaml"
    file.write_text("".join(f"- situation: s{n}\n  suggestion: t\n" for n in range(5)))
    proposal = home.concepts.import_from(file)
    written, write = [], rows.write_version

    def interrupted(*given: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(given)
        write(*given)

    monkeypatch.setattr(rows, "write_version", interrupted)
    with pytest.raises(KeyboardInterrupt):
        proposal.apply()
    monkeypatch.undo()
    assert len(written) == 3
    assert len(home.concepts.rows()) == 0
    proposal.apply()
    assert len(home.concepts.rows()) == 5


def test_a_library_of_a_newer_version_is_refused_with_what_to_do(home: Libraries, tmp_path: Path) -> None:
    with home.library.writing() as connection:
        connection.execute("PRAGMA user_version = 99")
    home.close()
    with pytest.raises(LibraryTooNew, match="update the workbench"):
        home.tools.rows()


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LibraryUnwritable, match="cannot be written"):
        Libraries(tmp_path / "file").tools.rows()


def test_a_notebook_gets_a_table_with_a_filter_in_which_every_text_is_escaped(home: Libraries) -> None:
    home.concepts.add({**RECOLOR, "title": "<script>alert(1)</script>"})
    bundle = home.concepts._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "&lt;script&gt;" in data["text/html"]
    assert "<script>" not in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "<script>" in data["text/plain"]


def test_the_filter_keeps_rows_that_have_every_word() -> None:
    from workbench.library_table import matching

    rows = [("a", "Greatest common divisor"), ("b", "Least common multiple")]
    assert matching(rows, "common DIV") == [rows[0]]
    assert matching(rows, "") == rows


def test_a_library_stays_where_it_was_when_somebody_goes_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with Libraries(Path("data"), author="ana") as home:
        monkeypatch.chdir(tmp_path / "there")  # as a tool may, or a cell of a notebook
        home.tools.add({"code": "def mine(): ..."})
    assert not any((tmp_path / "there").iterdir())
    assert (tmp_path / "here" / "data" / "library" / "library.sqlite3").exists()


def test_one_text_where_several_may_be_given_is_one(home: Libraries) -> None:
    row = home.tools.add({"code": "def mine(): ..."}, tags="own")
    home.tools.tag("mine", add="math", remove="own").apply()
    home.tools.bulk("approve", "mine").apply()
    assert (home.tools.show(row.id).state, home.tools.show(row.id).row.tags) == ("active", ("math",))
