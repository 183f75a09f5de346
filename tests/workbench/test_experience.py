"""What a run's log teaches: questions, the calls made for each, and the answers that the run gave itself."""

from __future__ import annotations

from typing import Any

from workbench import events as ev
from workbench.experience import called_in, experiences_of

METRICS = ev.Metrics(steps=1, wall_s=0.0, tokens_per_s=0.0, cache_tokens=0, calls=0, workers=[])


def run_of(*payloads: ev.Payload, status: Any = "solved", items: list[Any] | None = None) -> list[ev.Event]:
    started = ev.RunStarted("task", [], "embedded", "", {}, 0, "contiguous", ["Alice"], {}, [])
    ended = ev.RunFinished(status, "1: 51", items or [], METRICS)
    return [ev.Event("r1", seq, 0.0, one) for seq, one in enumerate((started, *payloads, ended), start=1)]


def wrote(text: str) -> ev.TokensAdded:
    return ev.TokensAdded(1, [ev.WorkerTokens(worker="Alice", block=1, ids=[1], text=text)])


def made(call: str, tool: str, arguments: dict[str, Any], result: str) -> list[ev.Payload]:
    return [ev.CallPlanned(call, "Alice", tool, arguments, "raw"), ev.CallFinished(call, "succeeded", result)]


def test_calls_belong_to_the_question_that_is_answered_after_them_and_used_results_are_seen() -> None:
    items = [
        {"item": 1, "question": "What is 60 less 15 percent?", "answer": "51", "worker": "Alice"},
        {"item": 2, "question": "Is 9 prime?", "answer": "no", "worker": "Alice"},
    ]
    events = run_of(
        wrote("I take 1.\n"),
        *made("c1", "percent_of", {"percent": 15, "value": 60}, "9"),
        *made("c2", "subtract", {"a": 60, "b": 9}, "51"),
        wrote("Answer 1: 51\nI take 2.\n"),
        *made("c3", "is_prime", {"n": 9}, "no"),
        wrote("Answer 2: no\n"),
        items=items,
    )
    first, second = experiences_of(events)
    assert first.shape == (("percent_of", ()), ("subtract", (0,)))
    assert (first.answer, first.source) == ("51", "r1#1")
    assert second.shape == (("is_prime", ()),)
    assert called_in(events)[0] == {"percent_of", "subtract", "is_prime"}


def test_a_value_of_the_question_is_not_taken_for_a_result() -> None:
    items = [{"item": 1, "question": "What is 9 plus 9, when 18 halved is 9?", "answer": "18", "worker": "Alice"}]
    events = run_of(
        *made("c1", "divide", {"a": 18, "b": 2}, "9"),
        *made("c2", "add", {"a": 9, "b": 9}, "18"),
        wrote("Answer 1: 18"),
        items=items,
    )
    assert experiences_of(events)[0].shape == (("divide", ()), ("add", ()))


def test_a_run_that_was_stopped_or_failed_teaches_nothing() -> None:
    for status in ("stopped", "failed"):
        assert experiences_of(run_of(wrote("Answer 1: 1"), status=status)) == []
    assert experiences_of([]) == []
