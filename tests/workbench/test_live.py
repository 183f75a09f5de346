"""Watching a run in a terminal and in a pipe: what fits, what is said, and that text never acts."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from staged_runs import HOSTILE, NAMES, QUESTIONS, Story, raw_call, worksheet

from workbench import events as ev
from workbench.live import LiveView
from workbench.panes import arrange, frame, result
from workbench.projection import RunView

ROOT = Path(__file__).parents[2]
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
HOSTILE_QUESTION = (HOSTILE, HOSTILE, "gcd", {"a": HOSTILE}, HOSTILE)


def terminal(width: int, height: int) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system="truecolor",
        legacy_windows=False, _environ={},
    )  # fmt: skip


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(events: Sequence[ev.Event], width: int = 80, height: int = 24, now_s: float = 0.0) -> list[str]:
    """The lines of one frame, without colours."""
    console = terminal(width, height)
    console.print(frame(RunView.of(events), console, now_s))
    return ANSI.sub("", printed(console)).splitlines()


def plain(events: Sequence[ev.Event]) -> list[str]:
    file = io.StringIO()
    with LiveView(Console(file=file)) as live:
        live.watch(events)
    return file.getvalue().splitlines()


def test_every_worker_has_a_pane_with_its_text_its_calls_and_its_state() -> None:
    lines = drawn(worksheet())
    screen = "\n".join(lines)
    assert re.match("╭─ Alice ─+╮╭─ Bob ─+╮", lines[1])
    assert "I take 1: Greatest common divisor." in screen
    assert "✓ gcd(a=48, b=36) → 12" in screen
    assert "Answer 4: 10" in screen
    assert lines[0].startswith("✓ solved  embedded · 2 workers · contiguous")
    assert "✓ finished" in screen
    assert "tool_" not in screen
    assert lines[-1] == "41.5 tokens/s · 75 steps · cache 512 tokens · 4 calls · 3.2 s"


def test_a_running_call_turns_and_a_finished_one_shows_its_result() -> None:
    story = Story()
    story.begin(["Alice"])
    story.tokens(Alice=raw_call("gcd", {"a": 48, "b": 36}))
    story.call("Alice", "c1", "gcd", {"a": 48, "b": 36}, None)
    turning = {line for now in (0.0, 0.1) for line in drawn(story.events, now_s=now) if "gcd(a=48, b=36)" in line}
    assert len(turning) == 2
    assert "1 call, 1 running" in drawn(story.events)[-1]
    story.add(ev.CallFinished("c1", "failed", "", "the tool said no"))
    assert "✗ gcd(a=48, b=36) → the tool said no" in "\n".join(drawn(story.events))


def test_what_a_person_says_is_shown_as_theirs_and_a_header_is_not_shown() -> None:
    story = Story()
    story.begin(["Alice"])
    story.add(ev.TextInjected("Alice", 10, "Look at item 2.\n", [1], "person"))
    screen = "\n".join(drawn(story.events))
    assert "[person] Look at item 2." in screen
    assert "Alice's notes" not in screen


@given(
    workers=st.integers(1, 8),
    width=st.integers(20, 220),
    height=st.integers(5, 60),
    done=st.floats(0, 1),
    question=st.sampled_from(
        [QUESTIONS[0], HOSTILE_QUESTION, ("漢字" * 60, "漢字" * 60, "f", {"x": "漢" * 90}, "字" * 99)]
    ),
)
@settings(max_examples=60, deadline=None)
def test_a_frame_fits_into_any_terminal(workers: int, width: int, height: int, done: float, question: Any) -> None:
    events = worksheet(workers, [question] * workers)
    lines = drawn(events[: int(len(events) * done)], width, height)
    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width


def test_eight_workers_in_sixty_columns_all_have_room_to_be_read() -> None:
    screen = "\n".join(drawn(worksheet(8, QUESTIONS * 2, finished=False), 60, 24))
    for name in NAMES:
        assert name in screen
    assert screen.count("Answer") == 8
    assert arrange(8, 60, 21) == ([2, 2, 2, 2], 5)


@given(workers=st.integers(1, 30), width=st.integers(10, 300), height=st.integers(1, 100))
def test_rows_hold_every_worker_once_and_leave_no_gap(workers: int, width: int, height: int) -> None:
    rows, limit = arrange(workers, width, height)
    assert sum(rows) == workers
    assert max(rows) - min(rows) <= 1
    assert limit * len(rows) <= height


def test_where_there_is_no_room_for_panes_each_worker_is_one_line() -> None:
    lines = drawn(worksheet(8, QUESTIONS * 2, finished=False), 60, 12)
    assert [line.split()[0] for line in lines[1:-1]] == list(NAMES)


def test_the_result_lists_every_item_with_its_answer() -> None:
    console = terminal(60, 24)
    events = worksheet(finished=False)
    story = Story()
    story.events = list(events)
    finish = ev.RunFinished(
        "unanswered", "", [{"item": 1, "question": "Why?", "answer": None, "worker": None}],
        {"steps": 1, "wall_s": 1.0, "tokens_per_s": 1.0, "cache_tokens": 1, "calls": 0, "workers": []}, "out of tokens",
    )  # fmt: skip
    story.add(finish)
    console.print(result(RunView.of(story.events)))
    text = ANSI.sub("", printed(console))
    assert re.search(r"1 +Why\? +none", text)
    assert "out of tokens" in text


def test_text_is_never_markup_and_never_an_escape_sequence_on_a_terminal() -> None:
    console = terminal(100, 60)
    with LiveView(console, plain=False) as live:
        live.watch(worksheet(questions=[HOSTILE_QUESTION] * 2, model=HOSTILE))
    output = printed(console)
    for acting in ("\x1b[31mred", "\x1b[31m", "\x9b", "\u202e", "\r"):
        assert acting not in output.replace("\r\x1b[2K", "")  # the last is how rich goes back over its own frame
    text = ANSI.sub("", output)
    assert "<script>alert(1)</script>" in text
    assert "[bold]loud[/bold]" in text
    assert "␛[31mred␛[0m" in text


def test_without_a_terminal_there_is_a_line_for_each_thing_said_called_or_decided() -> None:
    assert plain(worksheet(workers=2, questions=QUESTIONS[:2])) == [
        "run: embedded, 2 workers, contiguous, 20261123-091500-k3f9",
        "Alice: I take 1: Greatest common divisor.",
        "Bob: I take 2: Days between two dates.",
        "Alice: calls gcd(a=48, b=36)",
        "Alice: gcd(a=48, b=36) -> 12",
        'Bob: calls days_between(start="2026-01-01", end="2026-03-01")',
        'Bob: days_between(start="2026-01-01", end="2026-03-01") -> 59',
        "Alice: Answer 1: 12",
        "Bob: Answer 2: 59",
        "Alice: finished: wrote the end of its turn",
        "Bob: finished: wrote the end of its turn",
        "run: solved, 41.5 tokens/s, 40 steps, cache 512 tokens, 2 calls, 3.2 s",
        "item 1: What is the gcd of 48 and 36? -> 12 (Alice)",
        "item 2: How many days lie between 2026-01-01 and 2026-03-01? -> 59 (Bob)",
        "answer: 1. 12",
        "answer: 2. 59",
    ]


def test_a_run_whose_events_end_without_an_end_is_said_to_be_interrupted() -> None:
    events = worksheet(finished=False)[:30]
    assert plain(events)[-1].startswith("run: interrupted, ")
    console = terminal(80, 24)
    with LiveView(console, plain=False) as live:
        live.watch(events)
    assert "■ interrupted" in ANSI.sub("", printed(console))


def test_plain_lines_hold_no_control_codes_whatever_the_text_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = plain(worksheet(questions=[HOSTILE_QUESTION] * 2, workers=1, model=HOSTILE))
    assert any("[bold]loud[/bold]" in line and "<script>" in line and "␛[31mred" in line for line in lines)
    assert not [c for line in lines for c in line if ord(c) < 32 or 0x7F <= ord(c) < 0xA0]
    assert all(line.startswith(("Alice: ", "run: ", "item ", "answer: ")) for line in lines)


def test_text_that_the_output_cannot_encode_is_escaped_not_an_error() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    with LiveView(Console(file=file)) as live:
        live.watch(worksheet(questions=[("Wie groß?", "Größe 漢", "gcd", {"a": 1}, "größer")], workers=1))
    assert b"Alice: I take 1: Gr\\xf6\\xdfe \\u6f22." in raw.getvalue()


def test_watching_can_go_on_after_an_interruption_without_saying_anything_twice() -> None:
    events = worksheet()
    file = io.StringIO()
    with LiveView(Console(file=file)) as live:
        with pytest.raises(KeyboardInterrupt):
            live.watch(_interrupted(events[:60]))
        live.watch(events[live.view.seq :])
    assert file.getvalue().splitlines() == plain(events)


def _interrupted(events: Sequence[ev.Event]) -> Any:
    yield from events
    raise KeyboardInterrupt


def test_a_real_terminal_gets_a_picture_and_its_cursor_back() -> None:
    output = _in_terminal(
        "from staged_runs import worksheet\nfrom workbench.live import LiveView\n"
        "with LiveView() as live: live.watch(worksheet())"
    )
    text = ANSI.sub("", output)
    assert "╭─ Alice" in text
    assert text.rstrip().endswith("4. 10")
    assert output.rfind("\x1b[?25h") > output.rfind("\x1b[?25l") >= 0


def _in_terminal(code: str) -> str:
    """What a Python with a terminal of its own writes to it."""
    ours, theirs = pty.openpty()
    path = f"{ROOT}:{ROOT / 'kernels'}:{Path(__file__).parent}"
    env = {**os.environ, "PYTHONPATH": path, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs, env=env) as child:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side has closed
                break
            if not piece:
                break
            written += piece
        assert child.wait(timeout=60) == 0, written.decode()
    os.close(ours)
    return written.decode()
