"""Finding rows of a library: in step with its rows, one space at a time, with reasons, or nothing at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hash_embedder import HashEmbedder
from rows_at_hand import concept, edit, lesson, move, tool

import memory.retrieval
from memory.embedder import Vectors
from memory.errors import EmbeddingError
from memory.planning import plan_move, plan_new
from memory.ranking import Evidence
from memory.retrieval import Searcher
from memory.shelf import Query
from memory.store import Library
from memory.vectors import index_path

ALL = ("proposed", "active")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path)
    library.apply(
        plan_new(
            [
                tool("total_cost", "Cost of several items.", "Pens cost 2, how much are five pens?"),
                tool("leap_year", "Whether a year has a leap day.", "Is 1900 a leap year?"),
                tool("reverse_text", "A text backwards.", "Spell planet backwards.", "Turn a word around."),
            ]
        ),
        author="ana",
    )
    return library


def names(searcher: Searcher, query: Query | str, **options: object) -> list[str]:
    return [found.row.name for found in searcher.search(query, states=ALL, **options).found]  # type: ignore[arg-type]


def test_the_row_that_shares_the_words_of_the_task_comes_first(library: Library) -> None:
    searcher = Searcher(library, HashEmbedder())
    assert names(searcher, "How much do seven pens cost?")[0] == "total_cost"
    assert names(searcher, "Is 2024 a leap year?")[0] == "leap_year"


def test_a_hit_names_the_view_and_the_exemplar_and_its_parts_add_up_to_its_score(library: Library) -> None:
    hit = Searcher(library, HashEmbedder()).search("turn this word around", states=ALL).found[0].hit
    best = hit.evidence[0]
    assert (best.query_view, best.view, best.exemplar, best.text) == ("task", "problem", 1, "Turn a word around.")
    assert sum(item.score * item.weight for item in hit.evidence) == pytest.approx(hit.score)
    assert sum(item.score * item.weight for item in hit.evidence if item.channel == "dense") == pytest.approx(hit.fit)


def test_the_explanation_of_a_hit_can_be_kept_with_the_run(library: Library) -> None:
    found = Searcher(library, HashEmbedder()).search("leap year", states=ALL).found[0]
    library.record_retrieval("run-1", {found.row.row_id: found.why()})
    why = library.uses(run_id="run-1")[0].why
    assert why["row_id"] == found.row.row_id
    assert why["evidence"][0]["text"] == found.hit.evidence[0].text


def test_nothing_fits_is_an_answer_and_still_names_the_nearest(library: Library) -> None:
    answer = Searcher(library, HashEmbedder(), threshold=0.5).search("Who painted the ceiling?", states=ALL)
    assert answer.found == ()
    assert answer.nearest is not None
    assert answer.nearest.hit.fit < 0.5


def test_only_active_rows_are_found_unless_others_are_asked_for(library: Library) -> None:
    searcher = Searcher(library, HashEmbedder())
    assert searcher.search("leap year").found == ()
    library.apply(plan_move(library.rows(name="leap_year"), "approve"), author="ana")
    assert [found.row.name for found in searcher.search("leap year").found] == ["leap_year"]
    library.apply(plan_move(library.rows(name="leap_year"), "retire"), author="ana")
    assert searcher.search("leap year").found == ()
    assert "leap_year" not in names(searcher, "leap year")


def test_an_empty_task_and_an_empty_library_are_answered_with_nothing(library: Library, tmp_path: Path) -> None:
    assert names(Searcher(library, HashEmbedder()), "  ") == []
    with Library(tmp_path / "empty") as empty:
        answer = Searcher(empty, HashEmbedder()).search("anything")
    assert (answer.found, answer.nearest) == ((), None)


def test_expected_names_and_docstrings_find_what_the_task_does_not(library: Library) -> None:
    searcher = Searcher(library, HashEmbedder())
    task = "Mia pays for her groceries."
    expanded = Query(task, ("total_cost",), ("Cost of several items.",))
    assert names(searcher, expanded)[0] == "total_cost"
    hit = searcher.search(expanded, states=ALL).found[0].hit
    assert {"expected_name", "expected_docstring"} <= {item.query_view for item in hit.evidence}


def test_concepts_are_found_by_cues_and_by_situations_and_apart_from_tools(library: Library) -> None:
    library.apply(
        plan_new([concept("recolor", cues=["grid cells change colour"]), lesson("A sum of money is split", "Divide.")]),
        author="ana",
    )
    searcher = Searcher(library, HashEmbedder())
    assert names(searcher, "the colour of cells changes", kind="concept")[0] == "recolor"
    assert names(searcher, "money must be split", kind="concept")[0] == "A sum of money is split"
    assert set(names(searcher, "colour", kind="tool")) == {"total_cost", "leap_year", "reverse_text"}


def test_an_edit_embeds_only_the_texts_that_are_new(library: Library) -> None:
    embedder = HashEmbedder()
    searcher = Searcher(library, embedder)
    searcher.refresh()
    embedder.encoded.clear()
    (row,) = library.rows(name="leap_year")
    content = {**row.content, "problems": [*row.content["problems"], "Has 2100 a leap day?"]}
    edit(library, row.row_id, content, author="ana", expected_version=1)
    assert names(searcher, "2100")[0] == "leap_year"
    assert embedder.encoded == ["Has 2100 a leap day?", "2100"]
    assert names(searcher, "2100")[0] == "leap_year"
    assert embedder.encoded == ["Has 2100 a leap day?", "2100"]


def test_another_embedder_has_a_space_of_its_own_and_the_first_one_is_not_asked_again(library: Library) -> None:
    first, second = HashEmbedder("a"), HashEmbedder("b", dimensions=32)
    texts = 3 + 3 + 4
    Searcher(library, first).refresh()
    Searcher(library, second).refresh()
    assert len(first.encoded) == len(second.encoded) == texts
    library.apply(plan_new([tool("gcd", "Greatest common divisor.")]), author="ana")
    assert names(Searcher(library, first), "greatest divisor")[0] == "gcd"
    assert names(Searcher(library, second), "greatest divisor")[0] == "gcd"
    assert len(first.encoded) == len(second.encoded) == texts + 2 + 1
    with library.reading() as connection:
        sizes = connection.execute(
            "SELECT fingerprint, min(length(numbers)), max(length(numbers)) FROM vectors GROUP BY 1"
        )
        assert sorted(sizes) == [("hash-a-64", 256, 256), ("hash-b-32", 128, 128)]


@pytest.mark.parametrize("damage", ["missing", "empty", "torn", "flipped", "foreign", "another space"])
def test_a_damaged_index_is_rebuilt_from_the_rows_without_encoding_anything(library: Library, damage: str) -> None:
    Searcher(library, HashEmbedder()).refresh()
    path = index_path(library, HashEmbedder().fingerprint)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "another space":
        other = HashEmbedder("other")
        Searcher(library, other).refresh()
        path.write_bytes(index_path(library, other.fingerprint).read_bytes())
    else:
        broken = {
            "empty": b"",
            "torn": whole[: len(whole) // 2],
            "flipped": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
            "foreign": b"\x00" * 1000,
        }
        path.write_bytes(broken[damage])
    embedder = HashEmbedder()
    searcher = Searcher(library, embedder)
    hits = searcher.search("Is 2024 a leap year?", states=ALL).found
    assert hits[0].row.name == "leap_year"
    assert embedder.encoded == ["Is 2024 a leap year?"]
    assert path.read_bytes() == whole


def test_an_index_of_an_older_library_is_brought_up_to_date(library: Library) -> None:
    Searcher(library, HashEmbedder()).refresh()
    path = index_path(library, HashEmbedder().fingerprint)
    old = path.read_bytes()
    library.apply(plan_new([tool("gcd", "Greatest common divisor.")]), author="ana")
    (gone,) = library.rows(name="leap_year")
    move(library, gone.row_id, "reject", author="ana", expected_version=1)
    Searcher(library, HashEmbedder()).refresh()
    path.write_bytes(old)
    searcher = Searcher(library, HashEmbedder())
    assert set(names(searcher, "greatest")) == {"gcd", "total_cost", "reverse_text"}


def test_an_index_that_a_library_before_this_one_left_behind_is_not_used(library: Library, tmp_path: Path) -> None:
    Searcher(library, HashEmbedder()).refresh()
    with Library(tmp_path / "anew") as anew:
        anew.apply(plan_new([tool("gcd", "Greatest common divisor."), tool("lcm", "Least multiple.")]), author="ana")
        path = index_path(anew, HashEmbedder().fingerprint)
        path.parent.mkdir()
        # The ids of its vectors begin anew, so that they are among those of the file.
        path.write_bytes(index_path(library, HashEmbedder().fingerprint).read_bytes())
        found = Searcher(anew, HashEmbedder()).search("Greatest common divisor.", states=ALL).found
        assert [one.row.name for one in found] == ["gcd", "lcm"]
        assert max(item.score for item in found[0].hit.evidence) == pytest.approx(1, abs=1e-5)


def test_half_a_character_that_a_docstring_spells_costs_no_search(library: Library) -> None:
    library.apply(plan_new([tool("gcd", r"Greatest \ud800 divisor.")]), author="ana")
    searcher = Searcher(library, HashEmbedder())
    assert names(searcher, "greatest divisor")[0] == "gcd"
    for text in searcher.embedder.encoded:  # type: ignore[attr-defined]
        assert text.encode()


def test_a_folder_that_cannot_take_the_index_costs_no_result(library: Library) -> None:
    (library.folder / "vectors").write_text("a file in the way")
    assert names(Searcher(library, HashEmbedder()), "leap year")[0] == "leap_year"


@pytest.mark.parametrize("number", [np.nan, np.inf, 0.0])
def test_vectors_that_are_no_direction_are_refused_and_nothing_of_them_is_kept(library: Library, number: float) -> None:
    class Broken(HashEmbedder):
        def encode(self, texts: Sequence[str]) -> Vectors:
            vectors = super().encode(texts)
            vectors[[("leap" in text) for text in texts]] = number
            return vectors

    searcher = Searcher(library, Broken())
    with pytest.raises(EmbeddingError, match=r"NaN, infinite or only zero numbers of the text '.*leap"):
        searcher.search("anything", states=ALL)
    with library.reading() as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
    assert not index_path(library, Broken().fingerprint).exists()
    assert names(Searcher(library, HashEmbedder()), "leap year")[0] == "leap_year"


def test_a_query_whose_vector_is_no_direction_is_refused(library: Library) -> None:
    class Broken(HashEmbedder):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return super().encode(texts) * (np.nan if texts == ["?!"] else 1)

    with pytest.raises(EmbeddingError):
        Searcher(library, Broken()).search("?!", states=ALL)


def test_progress_counts_to_the_number_of_texts_without_a_vector(library: Library) -> None:
    seen: list[tuple[int, int]] = []
    searcher = Searcher(library, HashEmbedder())
    searcher.refresh(lambda done, total: seen.append((done, total)))
    assert seen == [(10, 10)]
    searcher.refresh(lambda done, total: seen.append((done, total)))
    assert len(seen) == 1


def test_a_purged_row_is_not_found_any_more(library: Library) -> None:
    searcher = Searcher(library, HashEmbedder())
    (row,) = library.rows(name="leap_year")
    searcher.refresh()
    move(library, row.row_id, "reject", author="ana", expected_version=1)
    library.purge([row.row_id])
    assert set(names(searcher, "leap year")) == {"total_cost", "reverse_text"}
    assert len(searcher._index) == 3 + 4


def test_two_rows_with_the_same_text_share_its_vector_and_are_both_found(library: Library) -> None:
    library.apply(plan_new([tool("leap_day", "Whether a year has a leap day.", "Is 1900 a leap year?")]), author="ana")
    embedder = HashEmbedder()
    searcher = Searcher(library, embedder)
    assert set(names(searcher, "Is 1900 a leap year?", limit=2)) == {"leap_day", "leap_year"}
    assert embedder.encoded.count("Whether a year has a leap day.") == 1


def test_beyond_the_number_of_candidates_the_best_rows_are_still_found(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.apply(
        plan_new(tool(f"f{n}", f"Filler number {n}.", f"Filling problem {n}?") for n in range(20)), author="a"
    )
    library.apply(plan_new(lesson(f"Leap year case {n}") for n in range(20)), author="a")
    queries = ["Is 1900 a leap year?", "filler 7", "spell backwards"]
    whole = [names(Searcher(library, HashEmbedder()), query, limit=1) for query in queries]
    monkeypatch.setattr(memory.retrieval, "CANDIDATES", 5)
    assert [names(Searcher(library, HashEmbedder()), query, limit=1) for query in queries] == whole
    assert whole == [["leap_year"], ["f7"], ["reverse_text"]]


def test_search_scores_are_the_cosines_of_the_embedder(library: Library) -> None:
    embedder = HashEmbedder()
    hit = Searcher(library, embedder).search("planet", states=ALL).found[0].hit
    query, text = embedder.encode(["planet", "Spell planet backwards."])
    cosine = float(query @ text / np.linalg.norm(query) / np.linalg.norm(text))
    (item,) = [one for one in hit.evidence if one.channel == "dense" and one.view == "problem"]
    assert isinstance(item, Evidence)
    assert item.score == pytest.approx(cosine, abs=1e-5)


def test_a_tag_narrows_a_search(library: Library) -> None:
    library.apply(plan_new([tool("x", "Leap.").with_(tags=("mine",))]), author="ana")
    assert names(Searcher(library, HashEmbedder()), "leap year", tag="mine") == ["x"]
