"""Events: every kind survives JSON, and logs of other versions stay readable."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench import event_json
from workbench.event_json import ENVELOPE, KINDS
from workbench.events import (
    AnswerGuided,
    ApprovalAsked,
    ApprovalGiven,
    BlockFrozen,
    BlockOpened,
    BlockPruned,
    BlocksMerged,
    BreakpointHit,
    CallFinished,
    CallPlanned,
    CallProgress,
    CallsGuided,
    CallStarted,
    Event,
    LibraryShown,
    PlanProblem,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    SamplingChanged,
    SayQueued,
    Steered,
    TextInjected,
    TokensAdded,
    UnknownEvent,
    WorkerAdded,
    WorkerStateChanged,
)

# The machine may be busy; what is asked here has nothing to do with time.
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

# Everything a model or a tool may utter, lone surrogates and NUL among it.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
names = st.sampled_from(["Alice", "Bob", "Zoë \x1b[31m", ""]) | texts
numbers = st.integers(-(2**70), 2**70)
ids = st.lists(st.integers(0, 200_000), max_size=5)
seconds = st.floats(0, 1e12, allow_nan=False)
plain_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, plain_values, max_size=4)
worker_tokens = st.fixed_dictionaries({"worker": names, "block": numbers, "ids": ids, "text": texts})
answered = st.fixed_dictionaries(
    {"item": numbers, "question": texts, "answer": st.none() | texts, "worker": st.none() | names}
)
metrics = st.fixed_dictionaries(
    {
        "steps": numbers,
        "wall_s": seconds,
        "tokens_per_s": seconds,
        "cache_tokens": numbers,
        "calls": numbers,
        "workers": st.lists(st.fixed_dictionaries({"name": names, "tokens": numbers, "state": texts}), max_size=3),
    }
)
maybe_text = st.none() | texts

PAYLOADS: dict[str, st.SearchStrategy[Any]] = {
    "run_started": st.builds(
        RunStarted,
        task=texts,
        items=st.lists(st.fixed_dictionaries({"item": numbers, "question": texts}), max_size=3),
        model=texts,
        model_fingerprint=texts,
        versions=st.dictionaries(texts, texts, max_size=3),
        seed=numbers,
        layout=texts,
        workers=st.lists(names, max_size=3),
        settings=objects,
        tools=st.lists(texts, max_size=3),
        parent=st.none() | st.fixed_dictionaries({"run_id": texts, "seq": numbers}),
    ),
    "worker_added": st.builds(WorkerAdded, worker=names, sampling=objects, budget=st.none() | numbers),
    "block_opened": st.builds(
        BlockOpened,
        block=numbers,
        role=st.sampled_from(["prompt", "worker", "separator"]),
        worker=st.none() | names,
        text=texts,
        tokens=ids,
    ),
    "block_frozen": st.builds(BlockFrozen, block=numbers, length=numbers),
    "block_pruned": st.builds(BlockPruned, block=numbers),
    "blocks_merged": st.builds(BlocksMerged, block=numbers, length=numbers, merged=st.lists(numbers, max_size=8)),
    "tokens_added": st.builds(
        TokensAdded,
        step=numbers,
        tokens=st.lists(worker_tokens, max_size=3),
        attention=st.none() | st.dictionaries(names, st.dictionaries(texts, st.floats(0, 1), max_size=3), max_size=3),
    ),
    "text_injected": st.builds(
        TextInjected,
        worker=names,
        block=numbers,
        text=texts,
        ids=ids,
        source=st.sampled_from(["header", "tool", "person", "check", "closing"]),
        call=maybe_text,
        line=maybe_text,
    ),
    "call_planned": st.builds(
        CallPlanned,
        call=texts,
        worker=names,
        tool=texts,
        arguments=objects,
        raw=texts,
        plan=texts,
        label=texts,
        needs=st.lists(texts, max_size=3),
        effect=texts,
    ),
    "calls_guided": st.builds(CallsGuided, tools=st.lists(objects, max_size=3)),
    "answer_guided": st.builds(AnswerGuided, schema=objects),
    "plan_problem": st.builds(
        PlanProblem, worker=names, plan=texts, message=texts, line=st.none() | numbers, call=maybe_text
    ),
    "call_started": st.builds(CallStarted, call=texts, attempt=numbers, arguments=st.none() | objects, isolation=texts),
    "call_progress": st.builds(
        CallProgress, call=texts, done=st.none() | seconds, total=st.none() | seconds, message=texts, output=texts
    ),
    "approval_asked": st.builds(ApprovalAsked, call=texts, arguments=objects),
    "approval_given": st.builds(ApprovalGiven, call=texts, approved=st.booleans(), by=texts, reason=texts),
    "library_shown": st.builds(
        LibraryShown,
        library=st.sampled_from(["tool", "concept"]),
        rows=st.lists(
            st.fixed_dictionaries({"row": texts, "name": texts, "version": numbers, "why": objects}), max_size=3
        ),
    ),
    "steered": st.builds(Steered, command=texts, arguments=objects, key=texts, by=texts),
    "breakpoint_hit": st.builds(
        BreakpointHit,
        breakpoint=texts,
        step=numbers,
        why=texts,
        worker=st.none() | names,
        call=st.none() | texts,
        text=texts,
    ),
    "say_queued": st.builds(SayQueued, line=texts, worker=st.none() | names, text=texts, when=texts),
    "sampling_changed": st.builds(SamplingChanged, worker=names, sampling=objects),
    "run_forked": st.builds(RunForked, child=texts, at=numbers),
    "run_resumed": st.builds(RunResumed, reason=texts),
    "call_finished": st.builds(
        CallFinished,
        call=texts,
        status=st.sampled_from(["succeeded", "failed", "timed_out", "skipped"]),
        attempts=numbers,
        isolation=texts,
        shared_with=st.lists(texts, max_size=3),
        cut=st.booleans(),
        num_chars=numbers,
        trusted=st.booleans(),
        text=texts,
        error=maybe_text,
        wall_s=seconds,
    ),
    "worker_state_changed": st.builds(
        WorkerStateChanged,
        worker=names,
        state=st.sampled_from(["decoding", "waiting", "paused", "finished", "stopped", "out_of_budget"]),
        reason=texts,
    ),
    "run_finished": st.builds(
        RunFinished,
        status=st.sampled_from(["solved", "unanswered", "stopped", "failed"]),
        answer=texts,
        items=st.lists(answered, max_size=3),
        metrics=metrics,
        error=maybe_text,
    ),
}


def test_every_kind_is_exercised_here() -> None:
    assert set(PAYLOADS) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
@patient
@given(data=st.data())
def test_an_event_of_every_kind_reads_back_equal_from_its_json(kind: str, data: st.DataObject) -> None:
    payload = data.draw(PAYLOADS[kind])
    event = Event("20261123-091500-k3f9", data.draw(st.integers(1, 10**9)), data.draw(seconds), payload)
    flat = event_json.to_json(event)
    assert flat["kind"] == kind == event.kind
    assert event_json.from_json(flat) == event
    # Through text, not ASCII-only: the form in which the log keeps it.
    assert event_json.from_json(json.loads(json.dumps(flat, ensure_ascii=False))) == event
    assert event_json.decode_fields(kind, event_json.encode_fields(payload)) == payload


@patient
@given(kind=texts.filter(lambda text: text not in KINDS), fields=objects)
def test_an_event_of_an_unknown_kind_keeps_all_that_was_stored(kind: str, fields: dict[str, Any]) -> None:
    payload = event_json.payload_from(kind, fields)
    assert payload == UnknownEvent(kind, fields)
    assert event_json.decode_fields(kind, event_json.encode_fields(payload)) == payload


def test_an_unknown_kind_reads_as_an_unknown_event() -> None:
    flat = {"run_id": "r", "seq": 3, "time": 2.5, "kind": "worker_dreamt", "worker": "Alice"}
    event = event_json.from_json(flat)
    assert event == Event("r", 3, 2.5, UnknownEvent("worker_dreamt", {"worker": "Alice"}))
    assert event_json.to_json(event) == flat


def test_a_field_added_by_a_newer_version_is_left_out() -> None:
    read = event_json.payload_from("block_frozen", {"block": 1, "length": 7, "bytes": 512})
    assert read == BlockFrozen(block=1, length=7)


def test_a_known_kind_that_lacks_a_field_reads_as_an_unknown_event() -> None:
    assert event_json.payload_from("block_frozen", {"block": 1}) == UnknownEvent("block_frozen", {"block": 1})


def test_a_field_with_a_default_may_be_missing() -> None:
    read = event_json.payload_from("tokens_added", {"step": 1, "tokens": []})
    assert read == TokensAdded(step=1, tokens=[], attention=None)


def test_an_unknown_event_cannot_forge_its_envelope() -> None:
    event = Event("mine", 3, 2.5, UnknownEvent("odd", {"run_id": "yours", "seq": 9}))
    assert event_json.to_json(event) == {"run_id": "mine", "seq": 3, "time": 2.5, "kind": "odd"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_field_of_a_payload_has_a_name_of_the_envelope(kind: str) -> None:
    assert not {field.name for field in dataclasses.fields(KINDS[kind])} & set(ENVELOPE)  # type: ignore[arg-type]


def test_events_cannot_be_changed() -> None:
    frozen = BlockFrozen(block=1, length=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.length = 8  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Event("r", 1, 0.0, frozen).seq = 2  # type: ignore[misc]


@pytest.mark.parametrize("stored", ["", "{", "[]", "7", "null"])
def test_stored_fields_that_are_no_object_are_refused(stored: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        event_json.decode_fields("block_frozen", stored)
