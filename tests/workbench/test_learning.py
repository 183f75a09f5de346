"""Tools learnt from the run log, from the command line to the next call."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from memory.lexical import words_of
from toolsets.executor import Executor, Finished, Planned, Started
from toolsets.fronts import parse
from toolsets.standard import STANDARD
from workbench import cli
from workbench import events as ev
from workbench.learning import trace_of
from workbench.libraries import Libraries
from workbench.log import RunLog
from workbench.merging import like_tools
from workbench.trying import try_tool

SALES = [(80, 25), (200, 15), (450, 30), (120, 5), (990, 40), (640, 35)]


def record(log: RunLog, run_id: str, question: str, text: str, *, status: ev.EndStatus = "solved") -> None:
    """A run whose one worker wrote this plan, which is really run, and whose calls are in the log as runs log them."""
    plan = parse(text, "llmcompiler")[0]
    heard: list[Any] = []

    async def run() -> None:
        async with Executor(STANDARD, on_event=heard.append) as executor:
            await executor.run(plan)

    anyio.run(run)
    item = ev.Item(item=1, question=question)
    answer = ""
    with log.open_run(run_id, question, "embedded") as writer:
        writer.append(ev.RunStarted(question, [item], "embedded", "f", {}, 0, "contiguous", ["Alice"], {}, []))
        for event in heard:
            if isinstance(event, Planned):
                written = {name: str(value) if "$" in str(value) else value for name, value in event.arguments.items()}
                needs = [f"c{need}" for need in event.needs]
                writer.append(
                    ev.CallPlanned(f"c{event.call}", "Alice", event.tool, written, event.raw, "p", event.call, needs)
                )
            elif isinstance(event, Started):
                writer.append(ev.CallStarted(f"c{event.call}", 1, dict(event.arguments)))
            elif isinstance(event, Finished):
                answer = event.outcome.text
                writer.append(ev.CallFinished(f"c{event.call}", "succeeded", answer))
        items = [ev.AnsweredItem(item=1, question=question, answer=answer, worker="Alice")]
        metrics = ev.Metrics(steps=1, wall_s=0.1, tokens_per_s=1.0, cache_tokens=1, calls=len(plan), workers=[])
        writer.append(ev.RunFinished(status, f"1: {answer}", items, metrics))


def sale(price: int, percent: int) -> tuple[str, str]:
    question = f"What is left of {price} dollars after {percent} percent off?"
    return question, f"1. percent_of(percent={percent}, value={price})\n2. subtract(a={price}, b=$1)\n"


class Words:
    """An embedder without a model: texts that share words are near."""

    fingerprint = "words"

    def encode(self, texts: Sequence[str]) -> Any:
        vectors = np.full((len(texts), 256), 1e-3, np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in words_of(text):
                vector[zlib.crc32(word.encode()) % 256] += 1
        return vectors


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.setenv("WORKBENCH_DATA_DIR", str(tmp_path))

    def type_(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        assert not left.value.code, captured.err
        return captured.out

    return type_


def test_a_tool_is_learnt_from_the_log_approved_found_and_called(typed: Callable[..., str], tmp_path: Path) -> None:
    log = RunLog()
    for number, one in enumerate(SALES):
        record(log, f"run{number}", *sale(*one))
    learnt = json.loads(typed("tools", "learn", "--json"))
    assert (learnt["runs"], learnt["calls"]) == (6, 12)
    (proposed,) = learnt["proposed"]
    assert proposed["instances"] == proposed["rerun_to_the_same_result"] == 6
    assert "subtract(a=value, b=result_1)" in proposed["code"]
    typed("tools", "approve", proposed["name"])
    assert "nothing recurs" in typed("tools", "learn").lower()
    with Libraries(embedder=Words()) as home:
        found = home.tools.search("What is left of 70 euros after 10 percent off?", limit=1).found
        assert [one.name for one in found] == [proposed["name"]]
        row = home.library.active("tool", proposed["name"])
        assert row is not None
        tried = try_tool(row, home.library)
        assert tried.passed
        assert len(tried.calls) >= 6


def test_runs_that_were_not_solved_teach_nothing(typed: Callable[..., str]) -> None:
    log = RunLog()
    for number, one in enumerate(SALES):
        record(log, f"run{number}", *sale(*one), status="unanswered")
    assert json.loads(typed("tools", "learn", "--json")) == {"runs": 0, "calls": 0, "proposed": []}


def test_a_call_that_gives_something_else_today_is_left_out(typed: Callable[..., str]) -> None:
    log = RunLog()
    record(log, "run", *sale(80, 25))
    events = list(log.events("run"))
    trace = trace_of(events, STANDARD)
    assert trace is not None
    assert [call.result for call in trace.calls] == [20, 60]
    assert trace.calls[1].written["b"].call == "c1"
    changed = [
        ev.Event(e.run_id, e.seq, e.time, ev.CallFinished("c1", "succeeded", "21"))
        if isinstance(e.payload, ev.CallFinished) and e.payload.call == "c1"
        else e
        for e in events
    ]
    trace = trace_of(changed, STANDARD)
    assert trace is not None
    assert [call.id for call in trace.calls] == ["c2"]


def test_tools_that_do_the_same_are_merged_after_a_yes_and_a_persons_no_is_remembered(tmp_path: Path) -> None:
    def counting(word: str, sign: str) -> dict[str, Any]:
        code = (
            f"def count_groups_{word}(groups: list[int], bound: int) -> int:\n"
            f'    """Count the groups {word} a bound."""\n'
            f"    return sum(value {sign} bound for value in groups)\n"
        )
        return {"code": code, "calls": [{"arguments": {"groups": [1, 5, 8], "bound": 3}, "result": None}]}

    with Libraries(tmp_path, author="ana", embedder=Words()) as home:
        for word, sign in (("above", ">"), ("below", "<"), ("over", ">")):
            home.tools.add(counting(word, sign))
        found = like_tools(home, threshold=0.5)
        verdicts = {frozenset((one.first.name[13:], one.second.name[13:])): one.alike for one in found.comparisons}
        assert verdicts[frozenset(("above", "over"))] is True
        assert verdicts[frozenset(("above", "below"))] is False
        assert verdicts[frozenset(("below", "over"))] is False
        assert found.plan is not None
        entry = home.library.apply(found.plan, author="ana")
        assert like_tools(home, threshold=0.5).plan is None
        home.library.undo(entry.number, author="ana")
        home.tools.not_duplicates("count_groups_above", "count_groups_over")
        assert like_tools(home, threshold=0.5).plan is None
