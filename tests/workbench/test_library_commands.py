"""`workbench tools` and `workbench concepts`: what is printed, asked and refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from workbench import cli

DOUBLE = {"code": 'def double(n: int) -> int:\n    """Twice a number."""\n    return 2 * n\n'}
LESSONS = "- situation: a colour changes\n  suggestion: map it\n- situation: a shape grows\n  suggestion: count it\n"


class Printed(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Typed = Callable[..., Printed]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def type_(*words: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return Printed(int(left.value.code or 0), captured.out, captured.err)

    return type_


def test_a_tool_is_added_tried_approved_and_listed(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "double.json").write_text(json.dumps(DOUBLE))
    assert "double" in typed("tools", "add", "double.json").out
    assert "n=21 -> 42" in typed("tools", "try", "double", '{"n": 21}').out
    assert typed("tools", "approve", "double", "--json").json["rows"][0]["state"] == "active"
    rows = typed("tools", "list", "--json").json["rows"]
    assert typed("tools", "list").err == ""  # no traces of a bar where no terminal is
    assert {row["name"]: row["state"] for row in rows}["double"] == "active"
    assert "approve" in typed("tools", "history", "double").out


def test_a_failing_example_is_exit_code_1(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "double.json").write_text(json.dumps({**DOUBLE, "calls": [{"arguments": {"n": 1}, "result": 3}]}))
    typed("tools", "add", "double.json")
    tried = typed("tools", "try", "double")
    assert tried.code == 1
    assert "expected 3" in tried.out


def test_what_changes_several_rows_is_only_shown_without_a_yes(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lessons.yaml").write_text(LESSONS)
    shown = typed("concepts", "import", "lessons.yaml")
    assert shown.code == 1
    assert "a colour changes" in shown.out
    assert "--yes" in shown.err
    assert typed("concepts", "list", "--json").json["rows"] == []
    assert typed("concepts", "import", "lessons.yaml", "--yes").code == 0
    assert typed("concepts", "approve", "--state", "proposed").code == 1
    assert typed("concepts", "approve", "--state", "proposed", "--yes").code == 0
    assert {row["state"] for row in typed("concepts", "list", "--json").json["rows"]} == {"active"}
    assert typed("concepts", "undo", "--yes").code == 0
    assert {row["state"] for row in typed("concepts", "list", "--json").json["rows"]} == {"proposed"}


def test_an_edit_by_fields_is_a_version_that_diff_shows(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lessons.yaml").write_text(LESSONS)
    typed("concepts", "import", "lessons.yaml", "--yes")
    edited = typed("concepts", "edit", "a shape grows", "--set", "suggestion=measure it", "--set", 'title="growth"')
    assert edited.code == 0, edited.err
    assert "+suggestion: measure it" in typed("concepts", "diff", "growth").out
    assert typed("concepts", "revert", "growth", "1").code == 0
    assert typed("concepts", "edit", "a shape grows", "--set", "title=x", "--expect", "1").code == 2


def test_purge_asks_and_without_anybody_to_ask_does_nothing(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lessons.yaml").write_text(LESSONS)
    typed("concepts", "import", "lessons.yaml", "--yes")
    typed("concepts", "reject", "a shape grows")
    refused = typed("concepts", "purge", "a shape grows")
    assert refused.code == 2
    assert "for good" in refused.err
    assert typed("concepts", "purge", "a shape grows", "--yes").code == 0
    assert typed("concepts", "show", "a shape grows").code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tools", "show", "nosuch"), "no tool 'nosuch'"),
        (("tools", "import", "nowhere.csv"), "nowhere.csv"),
        (("tools", "try", "gcd", "{"), "no JSON"),
        (("tools", "try", "gcd", "[1]"), "JSON object"),
        (("tools", "edit", "gcd", "--set", "code"), "name=value"),
        (("tools", "list", "--state", "gone"), "no state 'gone'"),
        (("tools", "approve"), "Say which rows"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(typed: Typed, words: tuple[str, ...], told: str) -> None:
    refused = typed(*words)
    assert refused.code == 2
    assert told in refused.err
    assert "Traceback" not in refused.err


def test_text_from_a_library_cannot_act_on_the_terminal(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "lesson.yaml").write_text('- situation: "\\e[31mred"\n  suggestion: "[bold]x[/bold]"\n')
    typed("concepts", "import", "lesson.yaml", "--yes")
    shown = typed("concepts", "list").out
    assert "\x1b" not in shown
    assert "[bold]x[/bold]" in shown
