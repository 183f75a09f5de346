"""`workbench plan`: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from workbench import cli

SOUND = "Thought: split it.\n1. gcd(a=84, b=126)\n2. lcm(a=4, b=6)\n3. add(a=$1, b=$2)\njoin()\n"


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Printed]


@pytest.fixture
def run_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """run_plan(text, *options): the command on a file with this text."""
    monkeypatch.setenv("WORKBENCH_DEBUG", "")

    def run(text: str, *options: str) -> Printed:
        file = tmp_path / "plan.txt"
        file.write_text(text)
        monkeypatch.setattr(sys, "argv", ["workbench", "plan", str(file), *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Printed(int(end.value.code or 0), *capsys.readouterr())

    return run


def test_a_sound_plan_is_drawn_run_and_its_last_result_told(run_plan: Cli) -> None:
    printed = run_plan(SOUND)
    assert (printed.code, printed.err) == (0, "")
    first, *_, path, result = printed.out.splitlines()
    assert first == "plan (llmcompiler): 3 calls, 3 succeeded"
    assert path.startswith("critical path ")
    assert result == "$3 add = 54"


@pytest.mark.parametrize(
    ("front", "text"),
    [
        ("llmcompiler", SOUND),
        ("dta", '[{"name": "gcd", "arguments": {"a": 84, "b": 126}}]'),
        ("tool_calls", '<tool_call>{"name": "gcd", "arguments": {"a": 84, "b": 126}}</tool_call>'),
        ("tool_use", '[{"type": "tool_use", "id": "x", "name": "gcd", "input": {"a": 84, "b": 126}}]'),
        ("python", "g = gcd(84, 126)"),
        ("llmcompiler", "\ufeff1. gcd(a=84, b=126)"),  # as some editors save it
    ],
)
def test_every_grammar_is_recognised_and_may_be_named(run_plan: Cli, front: str, text: str) -> None:
    recognised, named = (json.loads(run_plan(text, "--json", *how).out) for how in ((), ("--front", front)))
    assert named["front"] == front
    for found in (recognised, named):
        assert found["calls"][0]["text"] == "42"
        assert found["calls"][0]["arguments"] == {"a": 84, "b": 126}


def test_a_failed_call_ends_with_1_and_costs_no_other_its_result(run_plan: Cli) -> None:
    printed = run_plan("1. divide(a=1, b=0)\n2. gcd(a=4, b=6)\n3. add(a=$1, b=1)\n", "--json")
    assert printed.code == 1
    found = json.loads(printed.out)
    assert [call["state"] for call in found["calls"]] == ["failed", "succeeded", "skipped"]
    assert found["status"] == "failed"


def test_a_failed_call_is_skipped_over_passed_on_or_the_end_of_the_plan(run_plan: Cli) -> None:
    text = "1. divide(a=1, b=0)\n2. add(a=1, b=$1)"
    for word, end in (("skip", "skipped"), ("pass", "failed"), ("stop", "not_executed")):
        told = json.loads(run_plan(text, "--json", "--on-failure", word).out)
        assert [call["state"] for call in told["calls"]] == ["failed", end]
    refused = run_plan(text, "--on-failure", "go")
    assert refused.code == 2
    assert "give skip, pass or stop" in refused.err


def test_a_plan_with_errors_ends_with_2_and_runs_nothing(run_plan: Cli) -> None:
    printed = run_plan("1. gcd(a=84, b=126)\n2. grd(a=$1, b=3)\n3. add(a=1, b='x')\n")
    assert printed.code == 2
    assert printed.err.splitlines() == [
        "workbench: line 2: There is no tool 'grd': did you mean gcd? (expected: gcd)",
        "workbench: line 3: b of add must be a number, not 'x'. (expected: a number)",
    ]
    assert printed.out.startswith("plan (llmcompiler): 3 calls, 1 planned, 2 unsound")


def test_the_sound_part_of_a_plan_with_errors_runs_where_that_is_asked_for(run_plan: Cli) -> None:
    printed = run_plan("1. gcd(a=84, b=126)\n2. grd(a=$1, b=3)\n", "--sound", "--json")
    assert printed.code == 2
    assert [(call["sound"], call["state"]) for call in json.loads(printed.out)["calls"]] == [
        (True, "succeeded"),
        (False, "planned"),
    ]


def test_check_draws_and_runs_nothing(run_plan: Cli) -> None:
    printed = run_plan(SOUND, "--check")
    assert (printed.code, printed.err) == (0, "")
    assert "3 calls, 3 planned" in printed.out
    assert "=" not in printed.out.splitlines()[-1].partition(")")[2]


def test_without_the_drawing_each_call_is_one_line_as_it_ends(run_plan: Cli) -> None:
    printed = run_plan(SOUND, "--no-draw")
    assert printed.code == 0
    assert sorted(printed.out.splitlines()) == [
        "$1 gcd succeeded",
        "$2 lcm succeeded",
        "$3 add = 54",
        "$3 add succeeded",
    ]


FENCED = '```json\n{"name": "gcd", "arguments": {"a": 12, "b": 18}}\n```'


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("Hello.", (), "No call was found: write a plan in one of these grammars"),
        ("", (), "No call was found"),
        (FENCED, ("--front", "tool_calls"), "in the grammar tool_calls, but 1 in dta: read it with --front dta, or"),
        ('<invoke name="gcd">\n<parameter name="a">4</parameter>\n</invoke>', (), "Give the tool_use blocks"),
        (SOUND, ("--front", "xml"), "There is no grammar 'xml': use auto or one of tool_calls"),
    ],
)
def test_a_text_without_a_plan_is_refused_in_one_sentence(
    run_plan: Cli, text: str, options: tuple[str, ...], said: str
) -> None:
    printed = run_plan(text, *options)
    assert (printed.code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert line.startswith("workbench: ")
    assert said in line
