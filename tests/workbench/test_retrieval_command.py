"""`workbench eval retrieval` as a person types it, with the packaged embedding model."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import cli

COUNT = 'def count_rows(table):\n    """Count the rows of a table."""\n    return len(table)\n'
PRICE = 'def total_price(prices):\n    """Add the prices of goods."""\n    return sum(prices)\n'
SOLUTION = 'def count_lines(table):\n    """Count the lines that a table has."""\n    return len(table)\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = {
        "5_deduplicated_tools.csv": [("How many birds are listed?", "", COUNT), ("What do the pens cost?", "", PRICE)],
        "4_valid_tools.csv": [("How many fish are listed?", SOLUTION, COUNT), ("What do the cups cost?", "", PRICE)],
    }
    for name, records in lines.items():
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("question", "code", "tool"), *records])
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def type_(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["workbench", "eval", "retrieval", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return type_


def test_a_folder_of_crafts_is_measured_by_view_by_vote_by_fusion_and_with_siblings_kept(
    typed: Callable[..., tuple[int, str, str]], folder: Path
) -> None:
    code, out, _ = typed("--craft", str(folder), "--expand", "code", "--json")
    assert code == 0
    published, kept = json.loads(out)["sets"]
    assert (published["rows"], published["queries"]) == (2, 2)
    assert {
        "problem alone",
        "name alone",
        "docstring alone",
        "vote (CRAFT)",
        "fusion of cosines",
        "BM25",
        "default",
    } == (published["recall"].keys())
    assert "siblings' problems kept" in kept["name"]
    assert published["recall"]["default"] == {"1": 1.0, "3": 1.0, "10": 1.0}
    code, out, _ = typed("--craft", str(folder))
    assert code == 0
    assert out.count("vote (CRAFT)") == 2


def test_what_cannot_be_measured_is_refused_with_a_sentence(
    typed: Callable[..., tuple[int, str, str]], folder: Path
) -> None:
    assert typed("--craft", str(folder), "--expand", "names")[::2] == (
        2, "workbench: --expand takes code, the query's own solution; it is 'names'.\n"
    )  # fmt: skip
    code, _, err = typed("--expand", "code")
    assert (code, "--craft" in err) == (2, True)
    (folder / "5_deduplicated_tools.csv").unlink()
    code, _, err = typed("--craft", str(folder))
    assert code == 2
    assert "has no 5_deduplicated_tools.csv" in err
    assert "Traceback" not in err
