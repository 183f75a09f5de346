"""Measuring retrieval: on CRAFT's folders, on the project's own set; a query never meets its own problem."""

import csv
from pathlib import Path

import pytest
from hash_embedder import HashEmbedder

from memory.embedder import SentenceEmbedder
from memory.errors import ImportRefused
from memory.evaluation import calibrate, evaluate, evaluate_craft, refusals
from memory.evaluation_recipe import foreign_queries, tools
from memory.evaluation_set import EvaluationSet, own_set
from memory.retrieval import FIT_THRESHOLDS


def craft_tool(name: str, docstring: str) -> str:
    return f'def {name}(a):\n    """{docstring}"""\n    return a\n'


def write(path: Path, *lines: tuple[str, str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "code", "tool"), *lines])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    count, price = craft_tool("count_rows", "Counting rows."), craft_tool("get_price", "Price of goods.")
    solution = craft_tool("count_lines", "Counting lines and rows.")
    write(tmp_path / "5_deduplicated_tools.csv", ("Rows of birds?", "", count), ("Price of a pen?", "", price))
    (tmp_path / "epoch_0").mkdir()
    write(
        tmp_path / "epoch_0" / "4_valid_tools.csv",
        ("Rows of birds?", "", count),
        ("Elephants in total?", solution, count),
        ("All elephants?", solution, count),
        ("Not in the end?", "", craft_tool("gone", "Gone.")),
    )
    return tmp_path


def test_the_queries_are_the_problems_whose_tools_were_deduplicated_away(folder: Path) -> None:
    published, kept = evaluate_craft(folder, HashEmbedder())
    assert [(report.rows, report.recalls[0].queries) for report in (published, kept)] == [(2, 2), (2, 2)]


def test_a_siblings_problem_helps_and_the_querys_own_problem_does_not(folder: Path) -> None:
    _, kept = evaluate_craft(folder, HashEmbedder())
    assert kept.recall("problem alone", 1) == 1.0
    lines = (folder / "epoch_0" / "4_valid_tools.csv").read_text(encoding="utf-8")
    (folder / "epoch_0" / "4_valid_tools.csv").write_text(lines.replace("All elephants?", "Cost of a pen?"))
    _, alone = evaluate_craft(folder, HashEmbedder())
    assert alone.recall("problem alone", 1) < 1.0


def test_expansion_asks_with_the_name_and_the_docstring_of_the_specific_solution(folder: Path) -> None:
    published, _ = evaluate_craft(folder, HashEmbedder(), expand=True)
    assert published.recall("docstring alone", 1) == 1.0
    assert "expanded" in published.table()


def test_a_folder_that_craft_did_not_make_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"has no 5_deduplicated_tools\.csv"):
        evaluate_craft(tmp_path, HashEmbedder())
    write(tmp_path / "5_deduplicated_tools.csv", ("q", "", craft_tool("f", "F.")))
    with pytest.raises(ImportRefused, match="nothing can be asked"):
        evaluate_craft(tmp_path, HashEmbedder())


def test_the_own_set_is_large_and_its_parts_share_nothing() -> None:
    parts = {part: own_set(part) for part in ("tuning", "test")}  # type: ignore[arg-type]
    assert len(parts["test"].rows) >= 150
    asked = {part: {one.query.task for one in data.queries} for part, data in parts.items()}
    right = {part: set().union(*(one.right for one in data.queries)) for part, data in parts.items()}
    assert len(asked["tuning"]) + len(asked["test"]) >= 300
    assert not asked["tuning"] & asked["test"]
    assert not right["tuning"] & right["test"]
    assert min(len(queries) for queries in asked.values()) >= 100
    problems = {problem for tool in tools() for problem in tool.problems}
    assert not problems & (asked["tuning"] | asked["test"])


def test_the_own_set_has_near_duplicates_and_queries_that_nothing_fits() -> None:
    names = [tool.name for tool in tools()]
    assert len(names) == len(set(names))
    assert {"count_values_above", "count_values_below", "celsius_to_fahrenheit", "fahrenheit_to_celsius"} <= set(names)
    assert sum(not tool.problems for tool in tools()) >= 15
    assert len(foreign_queries()) >= 50
    assert any(not one.right for one in own_set("tuning").queries)


def test_a_threshold_is_measured_where_found_and_foreign_queries_part() -> None:
    data = own_set("tuning")
    some = EvaluationSet(data.name, data.kind, data.rows[:40], data.queries[:20] + data.queries[-15:])
    measured = calibrate(some, HashEmbedder())
    again = refusals(some, HashEmbedder(), measured.threshold)
    assert (again.kept, again.refused) == (measured.kept, measured.refused)
    assert refusals(some, HashEmbedder(), 2.0).kept == 0.0


def test_with_the_packaged_model_tools_are_found_and_foreign_queries_are_refused() -> None:
    data = own_set("test")
    embedder = SentenceEmbedder()
    asked = [one for one in data.queries if one.right][::6]
    foreign = [one for one in data.queries if not one.right][::3]
    # Encoding is what this costs: a third of the other tools is enough to be told apart from.
    right = frozenset().union(*(one.right for one in asked))
    others = [row for row in data.rows if row.row_id not in right][::3]
    rows = (*(row for row in data.rows if row.row_id in right), *others)
    part = EvaluationSet(data.name, data.kind, rows, (*asked, *foreign))
    report = evaluate(part, embedder)
    assert report.recall("default", 10) >= 0.7
    assert report.recall("default", 10) > report.recall("BM25", 10)
    # Words in common are mostly accidents in this set: mixing them in must not cost what the cosines find.
    assert report.recall("default", 3) >= report.recall("fusion of cosines", 3) - 0.03
    assert report.recall("fusion of cosines", 3) > report.recall("problem alone", 3)
    done = refusals(part, embedder, FIT_THRESHOLDS[embedder.fingerprint])
    assert done.refused >= 0.85
    assert done.kept >= 0.6
