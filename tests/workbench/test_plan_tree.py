"""A plan drawn as a tree, from plain values."""

import io

from rich.console import Console

from workbench.plan_tree import TreeCall, arguments_text, draw_plan, path_of, plan_lines

DIAMOND = [
    TreeCall("1", "gcd", "a=12, b=18", (), "succeeded", 0.2, "in process", note="6"),
    TreeCall("2", "add", "a=1, b=2", (), "succeeded", 0.5),
    TreeCall("3", "add", "a=$1, b=$2", ("1", "2"), "failed", 0.1, note="it broke"),
    TreeCall("4", "add", "a=$3, b=1", ("3",), "skipped"),
]


def test_a_call_stands_beneath_the_last_that_it_waits_for_and_names_the_others() -> None:
    assert list(plan_lines(DIAMOND)) == [
        "plan: 4 calls, 2 succeeded, 1 failed, 1 skipped",
        "├─ ✓ $1 gcd(a=12, b=18) = 6  [200 ms · in process]",
        "└─ ✓ $2 add(a=1, b=2)  [500 ms · critical]",
        "   └─ ✗ $3 add(a=$1, b=$2) · it broke  [failed · 100 ms · critical · after $1]",
        "      └─ – $4 add(a=$3, b=1)  [skipped]",
        "critical path 600 ms, one after the other 800 ms: $2 → $3",
    ]


def test_the_critical_path_respects_the_barrier_of_a_change() -> None:
    calls = [TreeCall("1", "look", wall_s=1.0), TreeCall("2", "change", wall_s=1.0, write=True)]
    path = path_of(calls)
    assert path is not None
    assert path.calls == ("1", "2")
    assert path.duration_s == 2.0


def test_a_call_that_only_a_change_keeps_from_beginning_says_which() -> None:
    calls = [
        TreeCall("1", "look", state="running"),
        TreeCall("2", "look", state="succeeded"),
        TreeCall("3", "put", write=True),
        TreeCall("4", "look"),
        TreeCall("5", "look", needs=("4",)),
    ]
    text = "\n".join(plan_lines(calls))
    assert "$3 put() · changes something, waits for $1  [change]" in text
    assert "$4 look() · waits for $3, which changes something" in text
    assert text.count("waits for") == 2
    started = [TreeCall("1", "look", state="succeeded"), TreeCall("3", "put", write=True)]
    assert "waits for" not in "\n".join(plan_lines(started))


def test_a_plan_with_cycles_and_unknown_or_double_ids_is_drawn_all_the_same() -> None:
    calls = [
        TreeCall("1", "f", needs=("2",), wall_s=0.1),
        TreeCall("2", "f", needs=("1", "2", "9"), wall_s=0.1),
        TreeCall("2", "f", wall_s=0.1),
    ]
    lines = list(plan_lines(calls))
    assert sum(" f(" in line for line in lines) == 3
    assert "after $2, $9" in lines[2]


def test_a_chain_of_thousands_stays_within_the_terminal() -> None:
    calls = [TreeCall(str(n), "f", needs=(str(n - 1),) if n else ()) for n in range(5_000)]
    lines = list(plan_lines(calls))
    assert len(lines) == 5_001
    assert max(map(len, lines)) < 80


def test_where_there_is_little_room_running_and_failed_calls_are_shown_first() -> None:
    calls = [TreeCall(str(n), "f", state="succeeded") for n in range(100)]
    calls[60], calls[80] = TreeCall("60", "f", state="running"), TreeCall("80", "f", state="failed")
    lines = list(plan_lines(calls, max_lines=5))
    assert [line[5:8] for line in lines[1:3]] == ["$60", "$80"]
    assert lines[-1].strip() == "… 98 more calls"


def test_texts_of_a_call_are_neither_markup_nor_control_codes() -> None:
    calls = [TreeCall("1", "[red]x", "a='\x1b[2J'", note="[bold]no\nnew line", state="succeeded")]
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(draw_plan(calls))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]x(a='␛[2J')" in shown
    assert "[bold]no new line" in shown
    assert "\x1b" not in shown


def test_the_drawing_and_the_plain_lines_say_the_same() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(draw_plan(DIAMOND))
    assert console.file.getvalue().splitlines() == list(plan_lines(DIAMOND))  # type: ignore[attr-defined]


def test_arguments_are_written_with_their_references() -> None:
    from toolsets.fronts import parse

    plan, _ = parse('1. count_words(text="a b")\n2. count_words(text="There are $1 words", n=[$1])')
    assert arguments_text(plan.calls[1].arguments) == "text='There are $1 words', n=[$1]"
