"""Near-duplicates: proposed by similarity, decided by behaviour and by people."""

from pathlib import Path

import pytest
from hash_embedder import HashEmbedder
from rows_at_hand import concept, edit, move, tool

from memory.duplicates import near_duplicates
from memory.planning import plan_new
from memory.retrieval import Searcher
from memory.store import Library
from memory.values import Row


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    library = Library(tmp_path)
    library.apply(
        plan_new(
            [
                tool("count_groups_above", "Count the groups above a value."),
                tool("count_groups_beyond", "Count the groups above a value."),
                tool("leap_year", "Whether a year has a leap day."),
                concept("count groups above", description="Count the groups above a value."),
            ]
        ),
        author="ana",
    )
    return Searcher(library, HashEmbedder())


def names(candidates: list[object]) -> list[set[str]]:
    return [{one.first.name, one.second.name} for one in candidates]  # type: ignore[attr-defined]


def test_similar_tools_are_proposed_and_others_and_concepts_are_not(searcher: Searcher) -> None:
    (candidate,) = near_duplicates(searcher, "tool", threshold=0.7)
    assert names([candidate]) == [{"count_groups_above", "count_groups_beyond"}]
    assert dict(candidate.views)["docstring"] == pytest.approx(1.0, abs=1e-5)
    assert candidate.behave_alike is None


def test_whether_they_behave_alike_is_asked_of_who_can_run_them(searcher: Searcher) -> None:
    asked: list[tuple[Row, Row]] = []

    def differ(first: Row, second: Row) -> bool:
        asked.append((first, second))
        return False

    (candidate,) = near_duplicates(searcher, "tool", threshold=0.7, behave_alike=differ)
    assert candidate.behave_alike is False
    assert asked == [(candidate.first, candidate.second)]


def test_a_pair_that_a_person_said_is_two_is_not_proposed_again(searcher: Searcher) -> None:
    (candidate,) = near_duplicates(searcher, "tool", threshold=0.7)
    library = searcher.library
    library.mark_not_duplicates(candidate.second.row_id, candidate.first.row_id, author="ana")
    row = candidate.first
    edit(library, row.row_id, {**row.content, "x": 1}, author="ana", expected_version=row.version)
    assert near_duplicates(searcher, "tool", threshold=0.7) == []


def test_a_retired_row_is_no_duplicate(searcher: Searcher) -> None:
    (candidate,) = near_duplicates(searcher, "tool", threshold=0.7)
    move(searcher.library, candidate.first.row_id, "reject", author="ana", expected_version=1)
    assert near_duplicates(searcher, "tool", threshold=0.7) == []
