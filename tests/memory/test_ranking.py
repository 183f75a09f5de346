"""Ranking and words, as functions of scores and texts."""

import pytest

from memory.lexical import WordIndex, words_of
from memory.ranking import Evidence, Weights, fuse, vote
from memory.shelf import Shelf
from memory.views import ViewText


def dense(view: str, score: float, query_view: str = "task") -> Evidence:
    return Evidence(query_view, view, "dense", score, 0)  # type: ignore[arg-type]


def words(view: str, score: float) -> Evidence:
    return Evidence("task", view, "lexical", score, 0)


WEIGHTS = Weights({("task", "problem"): 3, ("task", "name"): 1}, {("task", "problem"): 1.0}, 0.5, 0.2)


def test_fusion_is_the_weighted_mean_of_the_cosines() -> None:
    hits = fuse({"a": [dense("problem", 0.2), dense("name", 0.6)], "b": [dense("problem", 0.4)]}, WEIGHTS)
    assert [(hit.row_id, pytest.approx(hit.score)) for hit in hits] == [("b", 0.4), ("a", 0.3)]


def test_a_view_that_a_row_lacks_takes_no_part_in_its_mean() -> None:
    (hit,) = fuse({"a": [dense("name", 0.6), dense("colour", 1.0)]}, WEIGHTS)
    assert hit.score == pytest.approx(0.6)
    assert [item.view for item in hit.evidence] == ["name"]


def test_the_best_lexical_score_counts_its_share_and_the_others_in_proportion() -> None:
    rows = {"a": [dense("problem", 0.5), words("problem", 0.8)], "b": [dense("problem", 0.5), words("problem", 0.4)]}
    assert [pytest.approx(hit.score) for hit in fuse(rows, WEIGHTS)] == [0.5 + 0.5, 0.5 + 0.25]


def test_lexical_scores_below_the_floor_are_not_blown_up() -> None:
    (hit,) = fuse({"a": [dense("problem", 0.5), words("problem", 0.1)]}, WEIGHTS)
    assert hit.score == pytest.approx(0.5 + 0.5 * 0.1 / 0.2)
    assert hit.fit == pytest.approx(0.5)


def test_rows_of_equal_score_keep_one_order() -> None:
    rows = {name: [dense("problem", 0.5)] for name in "cab"}
    assert [hit.row_id for hit in fuse(rows, WEIGHTS)] == ["a", "b", "c"]


def test_a_vote_needs_two_views_and_more_votes_come_first() -> None:
    rows = {f"filler{n}": [dense("name", 0.9), dense("problem", 0.1), dense("docstring", 0.1)] for n in range(5)}
    rows |= {f"other{n}": [dense("name", 0.0), dense("problem", 0.8), dense("docstring", 0.8)] for n in range(9)}
    rows["all"] = [dense("name", 0.95), dense("problem", 0.95), dense("docstring", 0.95)]
    rows["one"] = [dense("name", 0.0), dense("problem", 0.05), dense("docstring", 0.9)]
    hits = vote(rows)
    assert hits[0].row_id == "all"
    assert int(hits[0].score) == 3
    assert "one" not in {hit.row_id for hit in hits}
    assert not any(hit.row_id.startswith("filler") for hit in hits)


def test_a_vote_asks_names_with_expected_names_where_there_are_any() -> None:
    rows = {
        f"{n}": [dense("problem", 1 - n / 100), dense("name", n / 20), dense("name", 1 - n / 20, "expected_name")]
        for n in range(20)
    }
    three = [hit.row_id for hit in vote(rows)]
    assert three == ["0", "1", "2", "3", "4"]


def test_words_lose_their_commonest_and_their_endings() -> None:
    assert words_of("How many broken lights were counted?") == ("broken", "light", "count")
    assert words_of("count_itemsBelow 30") == ("count", "item", "below", "30")
    assert words_of("") == ()


def test_rare_words_weigh_more_and_a_full_match_scores_about_one() -> None:
    index: WordIndex[str] = WordIndex()
    for key, text in {"a": "red apple", "b": "red pear", "c": "red plum"}.items():
        index.put(key, text)
    scores = index.scores("red pear")
    assert scores["b"] > 5 * scores["a"] > 0
    assert scores["b"] == pytest.approx(1.0)
    assert index.scores("cherry") == {}


def test_an_index_of_words_after_changes_is_the_one_of_its_present_texts() -> None:
    changed: WordIndex[int] = WordIndex()
    for key, text in enumerate(["one two", "two three", "three four", "five"]):
        changed.put(key, text)
    changed.put(1, "two six")
    changed.discard(3)
    changed.discard(9)
    fresh: WordIndex[int] = WordIndex()
    for key, text in enumerate(["one two", "two six", "three four"]):
        fresh.put(key, text)
    for query in ("two", "three five", "six one four"):
        assert changed.scores(query) == fresh.scores(query)


def test_problems_are_compared_by_words_in_a_row_and_not_by_a_number_or_a_single_word() -> None:
    shelf = Shelf()
    for row_id, problem in (("stem", "The stem and leaf plot shows 30 ages."), ("other", "30 people wait at a plot.")):
        shelf.put(row_id, "tool", (ViewText("problem", 0, problem),))
    problems, _ = shelf.lexical_scores("tool", "Which of the 30 is in the leaf plot?")
    assert set(problems) == {("stem", 0)}
