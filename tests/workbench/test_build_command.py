"""`workbench tools build` and `concepts learn` as a person types them, against a scripted model behind real HTTP."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from staged_runs import QUESTIONS, worksheet

sys.path.append(str(Path(__file__).parents[1] / "memory"))

from hash_embedder import HashEmbedder

from workbench import cli, libraries
from workbench.log import RunLog

# The same server that the tests of the endpoint use.
_SPEC = importlib.util.spec_from_file_location(
    "scripted_endpoint", Path(__file__).parents[1] / "toolsets" / "scripted_endpoint.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
scripted = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("scripted_endpoint", scripted)
_SPEC.loader.exec_module(scripted)

SOLUTION = "```python\n12 * 30\n```"
AREA = 'def area(a: float, b: float) -> float:\n    """Area of a field."""\n    return a * b\n'
TOOL = f"```python\n{AREA}\narea(12, 30)\n```"

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")

    def type_(*words: str, group: str = "tools") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["workbench", group, *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return type_


@pytest.fixture
def problems(tmp_path: Path) -> str:
    path = tmp_path / "problems.csv"
    path.write_text("question,answer\nHow large is a field of 12 m by 30 m?,360\n", encoding="utf-8")
    return str(path)


def answer(request: dict[str, Any]) -> Any:
    return scripted.Answer(TOOL if "This solves it" in request["messages"][1]["content"] else SOLUTION)


def test_a_build_tells_what_each_stage_cost_and_what_it_proposed(typed: Typed, problems: str) -> None:
    with scripted.endpoint(answer) as server:
        code, out, err = typed("build", problems, "--endpoint", server.url, "--model", "m", "--price", "1", "2")
    assert code == 0, err
    for stage in ("choose", "solve", "check", "abstract", "validate", "siblings", "deduplicate", "propose"):
        assert stage in out
    assert "proposed area (tool-" in out
    assert "0.00" in out
    assert "workbench tools show area" in out
    assert typed("approve", "area")[0] == 0
    code, out, _ = typed("try", "area")
    assert (code, "360" in out) == (0, True)


def test_a_build_that_the_endpoint_stopped_says_how_it_goes_on(typed: Typed, problems: str) -> None:
    refuses = True

    def half(request: dict[str, Any]) -> Any:
        solved = "This solves it" in request["messages"][1]["content"]
        return scripted.Answer("this model is \x1b[31mgone", status=404) if solved and refuses else answer(request)

    with scripted.endpoint(half) as server:
        code, _, err = typed("build", problems, "--endpoint", server.url, "--model", "m")
        assert code == 2
        assert "this model is ␛[31mgone" in err
        (line,) = [line for line in err.splitlines() if "--resume" in line]
        refuses = False
        code, out, err = typed("build", "--resume", line.split()[-1], "--json")
    assert code == 0, err
    built = json.loads(out)
    assert [one["name"] for one in built["proposed"]] == ["area"]
    assert [one["stage"] for one in built["stages"]][:2] == ["choose", "solve"]
    assert built["ended"] == []
    assert len(server.requests) == 3


def test_what_a_build_cannot_begin_with_is_said_and_nothing_is_written(
    typed: Typed, problems: str, tmp_path: Path
) -> None:
    for words, said in (
        ((problems,), "--endpoint and --model"),
        ((problems, "--endpoint", "ftp://x", "--model", "m"), "no URL of an endpoint"),
        ((problems, "--resume", "abc"), "leave the file out"),
        (("--resume", "abc"), "There is no build 'abc'"),
        ((str(tmp_path / "none.csv"), "--endpoint", "http://127.0.0.1:9/v1", "--model", "m"), "cannot be read"),
    ):
        code, out, err = typed("build", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert "Traceback" not in err
    assert not (tmp_path / "data" / "builds").exists()


def test_concepts_are_abstracted_by_an_endpoint_and_what_gave_none_is_told_in_one_line(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "_packaged_embedder", HashEmbedder)
    with RunLog(tmp_path / "data" / "runs.sqlite3").open_run("r", "task", "embedded") as writer:
        for event in worksheet(questions=QUESTIONS[:2]):
            writer.append(event.payload)
    concept = "```yaml\n- title: shared divisors\n  kind: routine\n  cues: [gcd of two numbers]\n```"

    def told(request: dict[str, Any]) -> Any:
        system, wanted = (message["content"] for message in request["messages"])
        if "`summary: ...`" in system:
            return scripted.Answer("summary: divisors" if "gcd" in wanted else "summary: dates")
        return scripted.Answer(concept if "divisors" in wanted.rpartition("The solution")[2] else "I know \x1b[1mnone.")

    with scripted.endpoint(told) as server:
        code, out, err = typed("learn", "--endpoint", server.url, "--model", "m", "--yes", group="concepts")
    assert code == 0, err
    assert "shared divisors" in out
    (line,) = err.splitlines()
    assert line.startswith("workbench: r#2 gave no concepts: ")
    assert "\x1b" not in err
    assert typed("learn", "--model", "m", group="concepts")[0] == 2
