"""Plans as a person sees them: trees with states and times, what waits for a word, how far a tool is.

In: runs written event by event (`staged_runs`). Out: lines, frames, snapshots. Neighbours: `workbench.projection`,
`panes`, `live`, `snapshot`.
"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

from rich.console import Console
from staged_runs import Story

from workbench import events as ev
from workbench.live import LiveView, trees
from workbench.panes import frame
from workbench.projection import RunView
from workbench.snapshot import snapshot
from workbench.told import special_tokens


def planned(story: Story, call: str, tool: str, number: str, *needs: str, **arguments: object) -> None:
    story.add(ev.CallPlanned(call, "Alice", tool, arguments, "", "Alice-1", number, list(needs)))


def a_plan() -> Story:
    """Three calls: one has succeeded, one runs and says how far it is, one waits for a person."""
    story = Story()
    story.begin(["Alice", "Bob"])
    planned(story, "c1", "gcd", "1", a=84, b=126)
    planned(story, "c2", "fetch", "2", "c1", n="$1")
    planned(story, "c3", "wipe", "3", "c1", path="$1")
    story.add(ev.CallStarted("c1", 1, {"a": 84, "b": 126}, "in process"))
    story.add(ev.CallFinished("c1", "succeeded", "42", None, 0.5, isolation="in process"))
    story.add(ev.CallStarted("c2", 1, {"n": 42}, "server web"))
    story.add(ev.CallProgress("c2", 3, 4, "pages"))
    story.add(ev.ApprovalAsked("c3", {"path": "42"}))
    return story


def ended() -> Story:
    story = a_plan()
    story.add(ev.CallFinished("c2", "timed_out", "", "fetch took longer than its 1 s.", 1.0, isolation="server web"))
    story.add(ev.ApprovalGiven("c3", False, "Ann", "not that one"))
    story.add(ev.CallFinished("c3", "rejected", "", "A person said no: not that one", 0.0, attempts=0))
    story.finish("unanswered", "")
    return story


def framed(story: Story, width: int = 100, height: int = 30) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(frame(RunView.of(story.events), console, 0.0))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_an_ended_plan_is_a_tree_with_states_times_and_the_critical_path() -> None:
    assert list(trees(RunView.of(ended().events))) == [
        "plan Alice-1: 3 calls, 1 succeeded, 1 timed out, 1 rejected",
        "└─ ✓ $1 gcd(a=84, b=126) = 42  [500 ms · critical]",
        "   ├─ ✗ $2 fetch(n=$1) · fetch took longer than its 1 s.  [timed out · 1.00 s · critical · server web]",
        "   └─ ■ $3 wipe(path=$1) · A person said no: not that one  [rejected]",
        "critical path 1.50 s, one after the other 1.50 s: $1 → $2",
    ]


def test_the_frame_shows_the_running_plan_its_progress_and_what_waits_for_a_word() -> None:
    shown = framed(a_plan())
    assert "Alice-1: 3 calls, 1 succeeded, 1 running" not in shown  # in the order of the states: asking comes first
    assert "● $2 fetch" in shown
    assert "75 % pages" in shown
    assert '? Alice: wipe(path="42")  y: yes  n: no  e: edit' in shown


def test_the_frame_fits_into_every_terminal() -> None:
    for height in (4, 6, 9, 14, 24):
        for width in (20, 60, 100):
            lines = framed(a_plan(), width, height).rstrip("\n").split("\n")
            assert len(lines) <= max(3, height - 1), (width, height)
            assert max(map(len, lines)) <= width


def test_plain_lines_say_who_waits_for_a_word_and_who_gave_it() -> None:
    console = Console(file=io.StringIO(), width=100)
    with LiveView(console, plain=True) as view:
        view.watch(ended().events)
    lines = console.file.getvalue().split("\n")  # type: ignore[attr-defined]
    assert 'Alice: wipe(path="$1") waits for a person\'s word (call c3)' in lines
    assert 'Alice: wipe(path="$1") rejected by Ann: not that one' in lines
    assert 'Alice: fetch(n="$1") timed out: fetch took longer than its 1 s.' in lines
    assert "plan Alice-1: 3 calls, 1 succeeded, 1 timed out, 1 rejected" in lines


def test_a_snapshot_tells_each_calls_plan_state_and_isolation() -> None:
    snap = snapshot(RunView.of(a_plan().events))
    json.dumps(snap)
    assert [(call["number"], call["state"], call["isolation"]) for call in snap["calls"]] == [
        ("1", "succeeded", "in process"), ("2", "running", "server web"), ("3", "asking", ""),
    ]  # fmt: skip
    assert snap["calls"][2]["needs"] == ["c1"]
    assert (snap["counters"]["calls_running"], snap["counters"]["calls_asking"]) == (2, 1)


def test_a_call_of_an_older_log_is_a_plan_by_itself() -> None:
    story = Story()
    story.begin(["Alice"])
    story.call("Alice", "c1", "gcd", {"a": 4, "b": 6}, "2")
    assert next(trees(RunView.of(story.events))) == "plan c1: 1 call, 1 succeeded"


def test_the_tags_that_a_tokenizer_reads_as_one_token_are_taken_out_of_results() -> None:
    class Token(str):
        special = False

    tokenizer = SimpleNamespace(
        added_tokens_decoder={1: Token("</think>"), 2: Token("  ")}, all_special_tokens=["<|im_end|>"]
    )
    assert special_tokens(tokenizer) == {"</think>", "<|im_end|>"}
