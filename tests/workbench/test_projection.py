"""A run as a person sees it: what the projection makes of events, and what the snapshot hands to the views."""

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged_runs import HOSTILE, QUESTIONS, Story, pieces, raw_call, worksheet

from workbench import events as ev
from workbench.event_json import from_json
from workbench.projection import RunView, call_label
from workbench.snapshot import snapshot
from workbench.visible import one_line, visible


def lane_text(view: RunView, worker: str) -> str:
    """A lane as text: what the worker wrote, with each call as `[label state result]`."""
    (lane,) = [lane for lane in snapshot(view)["lanes"] if lane["worker"] == worker]
    return "".join(
        f"[{span['label']} {span['state']} {span['result']}]" if span["kind"] == "call" else span["text"]
        for span in lane["spans"]
        if span["kind"] != "injected"
    )


def strings(value: Any) -> list[str]:
    """Every string in a JSON value, names included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def started(worker: str = "Alice") -> Story:
    story = Story()
    story.begin([worker])
    return story


def test_a_call_stands_in_the_lane_once_and_its_tags_not_at_all() -> None:
    view = RunView.of(worksheet())
    text = lane_text(view, "Alice")
    assert text.startswith("I take 1: Greatest common divisor.\n\n[gcd(a=48, b=36) succeeded 12]\n\nAnswer 1: 12\n\n")
    everything = json.dumps(snapshot(view)["lanes"])
    assert "tool_call" not in everything
    assert "tool_response" not in everything
    assert everything.count("gcd(") == 1


@given(size=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_the_lane_is_the_same_however_the_text_is_cut_into_tokens(size: int) -> None:
    story = started()
    for piece in pieces(f"I take 1.\n{raw_call('gcd', {'a': 48, 'b': 36})}", size):
        story.tokens(Alice=piece)
    story.call("Alice", "c1", "gcd", {"a": 48, "b": 36}, "12")
    for piece in pieces("\nAnswer 1: 12 < 13 <tool\n", size):
        story.tokens(Alice=piece)
    assert lane_text(RunView.of(story.events), "Alice") == (
        "I take 1.\n[gcd(a=48, b=36) succeeded 12]\nAnswer 1: 12 < 13 <tool\n"
    )


def test_a_call_that_is_being_written_shows_its_name_as_soon_as_it_stands_there() -> None:
    story = started()
    story.tokens(Alice="Well: <tool_ca")
    assert lane_text(RunView.of(story.events), "Alice") == "Well: "
    story.tokens(Alice='ll>{"na')
    assert lane_text(RunView.of(story.events), "Alice") == "Well: […(…) writing ]"
    story.tokens(Alice='me": "gcd", "arg')
    assert lane_text(RunView.of(story.events), "Alice") == "Well: [gcd(…) writing ]"


def test_a_call_that_is_planned_before_its_last_token_is_logged_is_still_shown_once() -> None:
    story = started()
    raw = raw_call("gcd", {"a": 48, "b": 36})
    story.tokens(Alice=raw[:-9])
    story.call("Alice", "c1", "gcd", {"a": 48, "b": 36}, None)
    story.tokens(Alice=raw[-9:] + "ok")
    assert lane_text(RunView.of(story.events), "Alice") == "[gcd(a=48, b=36) running ]ok"


def test_two_calls_in_one_token_keep_their_order_and_a_broken_one_between_them_is_not_mistaken_for_either() -> None:
    story = started()
    first, second = raw_call("lcm", {"a": 4, "b": 6}), raw_call("gcd", {"a": 48, "b": 36})
    story.tokens(Alice=f"{first}<tool_call>{{broken</tool_call>{second}")
    story.call("Alice", "c1", "lcm", {"a": 4, "b": 6}, None)
    story.call("Alice", "c2", "gcd", {"a": 48, "b": 36}, None)
    story.add(ev.CallFinished("c2", "succeeded", "12"))
    assert lane_text(RunView.of(story.events), "Alice") == (
        "[lcm(a=4, b=6) running ][{broken failed This call was not run.][gcd(a=48, b=36) succeeded 12]"
    )


def test_a_call_that_its_workers_end_cuts_short_is_not_said_to_be_unreadable() -> None:
    story = started()
    story.tokens(Alice='<tool_call>{"name": "gcd", "arg')
    story.add(ev.WorkerStateChanged("Alice", "stopped"))
    cut = "[gcd(…) cut_short It was not written to its end, so it was not run.]"
    assert lane_text(RunView.of(story.events), "Alice") == cut


def test_a_broken_call_shows_what_the_worker_was_told_about_it() -> None:
    story = started()
    story.tokens(Alice="<tool_call>gcd 48 36</tool_call>")
    text = "<tool_response>Write the call as JSON.</tool_response>"
    story.add(ev.TextInjected("Alice", 10, text, [1], "tool"))
    assert lane_text(RunView.of(story.events), "Alice") == "[gcd 48 36 failed Write the call as JSON.]"


def test_a_call_that_could_not_be_read_shows_its_text_and_why_it_failed() -> None:
    story = started()
    raw = "<tool_call>gcd 48 36</tool_call>"
    story.tokens(Alice=raw)
    story.add(ev.CallPlanned("c1", "Alice", "?", {}, raw))
    story.add(ev.CallFinished("c1", "failed", "Write the call as JSON.", "The call is not JSON.", 0.0))
    assert lane_text(RunView.of(story.events), "Alice") == "[gcd 48 36 failed The call is not JSON.]"


def test_a_heading_that_only_names_the_worker_is_left_to_the_lanes_title() -> None:
    story = started()
    story.add(ev.TextInjected("Alice", 10, "## Alice, step 2\n\nI am Alice.", [1], "header"))
    (lane,) = snapshot(RunView.of(story.events))["lanes"]
    assert [span["text"] for span in lane["spans"]] == ["## Alice, step 2\n\nI am Alice."]


def test_a_call_in_another_models_format_is_taken_out_of_the_text() -> None:
    story = started()
    for piece in pieces("Look: [TOOL_CALLS]gcd{48, 36}", 5):
        story.tokens(Alice=piece)
    raw = "[TOOL_CALLS]gcd{48, 36}"
    story.add(ev.CallPlanned("c1", "Alice", "gcd", {"a": 48, "b": 36}, raw))
    story.tokens(Alice=" more")
    assert lane_text(RunView.of(story.events), "Alice") == "Look: [gcd(a=48, b=36) planned ] more"


def test_a_failed_call_shows_why() -> None:
    story = started()
    story.tokens(Alice=raw_call("gcd", {"a": 1.5}))
    story.call("Alice", "c1", "gcd", {"a": 1.5}, None)
    story.add(ev.CallFinished("c1", "failed", "", "`b` is missing.", 0.0))
    view = RunView.of(story.events)
    assert lane_text(view, "Alice") == "[gcd(a=1.5) failed `b` is missing.]"
    assert snapshot(view)["counters"]["calls_failed"] == 1


def test_the_figures_count_each_token_once() -> None:
    view = RunView.of(worksheet(finished=False))
    sampled = sum(
        len(entry["ids"])
        for event in worksheet()
        if isinstance(event.payload, ev.TokensAdded)
        for entry in event.payload.tokens
    )
    assert view.tokens == sampled == sum(lane.tokens for lane in view.lanes.values())
    headers, results = 2 * 3, 4 * 3
    assert view.cache_tokens == 40 + headers + results + sampled
    assert view.tokens_per_s > 0


def test_a_pruned_block_is_no_longer_held_and_a_frozen_one_has_the_length_it_was_frozen_at() -> None:
    story = started()
    story.tokens(Alice="one")
    story.add(ev.BlockFrozen(10, 9))
    assert RunView.of(story.events).cache_tokens == 40 + 9
    story.add(ev.BlockPruned(1))
    story.add(ev.BlockPruned(1))
    view = RunView.of(story.events)
    assert view.cache_tokens == 9
    assert [(b.block, b.state) for b in view.blocks.values()] == [(1, "pruned"), (10, "frozen")]


def test_merged_blocks_are_held_once_under_the_new_one() -> None:
    story = started()
    story.tokens(Alice="one")
    story.add(ev.BlockFrozen(10, 9))
    story.add(ev.BlocksMerged(99, 49, [1, 10]))
    view = RunView.of(story.events)
    assert view.cache_tokens == 49
    assert [(b.block, b.state) for b in view.blocks.values()] == [(1, "merged"), (10, "merged"), (99, "frozen")]


def test_attention_is_the_mean_share_on_each_owners_words() -> None:
    story = Story()
    story.begin(["Alice", "Bob"])
    story.tokens(attention={"Alice": {"1": 0.5, "10": 0.25, "11": 0.25}}, Alice="a", Bob="b")
    story.tokens(attention={"Alice": {"1": 0.3, "10": 0.25, "11": 0.45}}, Alice="a")
    view = RunView.of(story.events)
    assert view.attention_by_owner("Alice") == pytest.approx({"prompt": 0.4, "Alice": 0.25, "Bob": 0.35})
    story.tokens(attention={"Bob": {"77": 1.0}}, Bob="c")
    assert RunView.of(story.events).attention_by_owner("Bob") == {"merged steps": 1.0}
    bob = snapshot(view)["lanes"][1]
    assert bob["attention"] == []


def test_a_finished_run_shows_the_figures_and_answers_that_the_run_ended_with() -> None:
    view = RunView.of(worksheet())
    assert (view.status, view.steps, view.cache_tokens, view.wall_s) == ("solved", view.steps, 512, 3.2)
    assert [item["answer"] for item in view.items] == [q[4] for q in QUESTIONS]


def test_a_log_without_an_end_is_a_running_run_until_somebody_says_that_it_was_interrupted() -> None:
    view = RunView.of(worksheet(finished=False))
    assert view.status == "running"
    assert view.interrupted().status == "interrupted"
    assert RunView.of(worksheet()).interrupted().status == "solved"
    assert [item["answer"] for item in view.items] == [None] * 4


def test_moments_tell_the_run_line_by_line() -> None:
    said = [(m.kind, m.worker, m.text) for m in RunView.of(worksheet(workers=1, questions=QUESTIONS[:1])).moments]
    assert said == [
        ("started", "", "1. What is the gcd of 48 and 36?"),
        ("joined", "Alice", "joined"),
        ("says", "Alice", "I take 1: Greatest common divisor."),
        ("calls", "Alice", "gcd(a=48, b=36)"),
        ("state", "Alice", "waiting: gcd runs"),
        ("result", "Alice", "gcd(a=48, b=36) -> 12"),
        ("state", "Alice", "decoding"),
        ("says", "Alice", "Answer 1: 12"),
        ("state", "Alice", "finished: wrote the end of its turn"),
        ("finished", "", "solved"),
    ]


def test_applying_event_by_event_says_which_moments_are_new() -> None:
    view = RunView()
    told = [moment for event in worksheet() for moment in view.apply(event)]
    assert told == view.moments


def test_hostile_text_reaches_the_snapshot_as_visible_signs_only() -> None:
    question = (HOSTILE, HOSTILE, "gcd", {HOSTILE: HOSTILE}, HOSTILE)
    texts = "\n".join(strings(snapshot(RunView.of(worksheet(questions=[question], model=HOSTILE)))))
    assert "<script>" in texts  # escaping is each view's own; hiding would be a lie
    assert not set("\x1b\r\u202e\x9b") & set(texts)
    assert "␛[31mred" in texts


@given(st.text(st.characters(exclude_categories=[])))
def test_visible_text_can_be_written_to_any_file_and_holds_no_controls(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
    assert visible(shown) == shown
    assert one_line(text).splitlines() in ([], [one_line(text)])
    assert len(one_line(text, 10)) <= 10


def test_arguments_that_only_a_model_would_write_do_not_break_the_view() -> None:
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    story = started()
    story.add(ev.CallPlanned("c1", "Alice", "gcd", {"a": float("nan"), "b": nested}, ""))
    json.dumps(snapshot(RunView.of(story.events)), allow_nan=False)


def test_a_call_reads_as_one_would_write_it() -> None:
    assert call_label("reverse_text", {"text": "Grüße", "times": 2}) == 'reverse_text(text="Grüße", times=2)'


def test_a_short_snapshot_holds_the_ends_of_the_lanes_and_says_so() -> None:
    story = started()
    for word in range(3000):
        story.tokens(Alice=f"word{word} ")
    lane = snapshot(RunView.of(story.events), tail_chars=500)["lanes"][0]
    assert lane["cut"]
    assert sum(len(span["text"]) for span in lane["spans"]) == 500
    assert lane["spans"][-1]["text"].endswith("word2999 ")
    assert not snapshot(RunView.of(story.events))["lanes"][0]["cut"]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_events_in_a_wrong_order_or_missing_still_make_a_view(seed: int) -> None:
    chance = random.Random(seed)
    events = [event for event in worksheet() if chance.random() < 0.8]
    chance.shuffle(events)
    json.dumps(snapshot(RunView.of(events)))


def test_an_event_of_a_newer_program_is_passed_over() -> None:
    view = RunView()
    newer = from_json({"run_id": "r", "seq": 1, "time": 1.0, "kind": "dreamed", "of": ["sheep"]})
    assert view.apply(newer) == []
    assert view.seq == 1


def test_a_snapshot_is_no_part_of_the_view_any_more() -> None:
    view = RunView.of(worksheet(finished=False))
    before = snapshot(view)
    before["lanes"].clear()
    before["items"][0]["question"] = "changed"
    before["calls"][0]["arguments"]["a"] = "changed"
    assert snapshot(view) == snapshot(RunView.of(worksheet(finished=False)))


def test_an_event_late_in_a_long_run_touches_nothing_of_what_went_before() -> None:
    story = started()
    story.tokens(Alice=("word " * 20 + "\n") * 20_000)
    view = RunView.of(story.events)
    written = len(story.events)
    for at in range(100):
        story.tokens(Alice=f"more {at}\n")
        story.tokens(Alice=raw_call("gcd", {"a": at}))
        story.call("Alice", f"c{at}", "gcd", {"a": at}, "1")
    tracemalloc.start()
    try:
        for event in story.events[written:]:
            view.apply(event)
        assert tracemalloc.get_traced_memory()[1] < 500_000  # a single copy of the lane would be two million
    finally:
        tracemalloc.stop()
