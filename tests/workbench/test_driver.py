"""One run, driven: calls found in what workers write, run, answered; attention told; everything as events.

In: scripted models (`tests/hogwild/scripted_model.py`), whose workers say what the test has written, and real tools.
Out: the events, in order, and the outcome. Neighbours: `workbench.driver`; `test_session.py` for the face above.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "hogwild"))

from scenes import Scene, tools_with
from scripted_model import WORDS, call, save

from hogwild import Engine, Layout, Prompting, Sampling
from hogwild.errors import ContextOverflow
from workbench import events as ev

GCD = call("gcd", a=84, b=126)
CHAINS = (
    ["# Alice\n", "I take 1: gcd.\n\n", GCD],
    ["<tool_response>42</tool_response>", "\nAnswer 1: 42\n\n"],
    ["# Bob\n", "b1 ", "b2 ", "b3."],
    ["# Carol\n", call("wait"), "unheard"],
    ["<tool_response>waited</tool_response>", "Carol waited."],
    ["# Dave\n", "tick ", "tick "],  # for ever
    ["# Erin\n", "<tool_call>{nonsense</tool_call>"],
    ["# Frank\n", call("fly", to="the moon")],
    ["# Grace\n", call("gcd", a=84, b="many")],
    ["</tool_response>", "So it failed."],
    ["# Heidi\n", "<tool", "_call>", '{"name": "gcd", "arguments"', ': {"a": 84, "b": 126}}', "</tool_call>\n\n"],
    ["# Ivan\n", GCD + call("add", a=1, b=2)],
    ["<tool_response>3</tool_response>", "Both."],
    ["# Judy\n", call("break_down")],
    ["# Kim\n", "k\n\n", "k\n\n"],  # a step with every token, for ever
    ["# Mia\n", f"{call('wait')}</calls>"],
    ["(Go on)", f"{GCD} ", "and then ", "</calls>"],
    ["# Leo\n", "Calls:\n", f"{GCD}\n", "and"],
    ["Joint answer:\n", "It is 42."],
    ["Joint answer, 1 to 1:\n", "1: 42"],
    ["Joint answer, 2 to 2:\n", "Nothing."],
)
STEPS = Prompting.from_json({**WORDS, "step_header": "# {name}\n"})
LIST = {**WORDS, "closing_part": "Joint answer, {first} to {last}:\n"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.from_pretrained(save(tmp_path_factory.mktemp("scripted"), *CHAINS))


@pytest.fixture(autouse=True)
def nothing_stays_in_the_cache(engine: Engine) -> Iterator[None]:
    yield
    engine.cache.check()
    assert engine.cache.num_tokens == 0


# Calls.


def test_a_call_is_planned_started_finished_and_told_to_its_caller(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        scene.to_the_end()
        calls = (ev.CallPlanned, ev.CallStarted, ev.CallFinished)
        assert scene.kinds(*calls) == ["call_planned", "call_started", "call_finished"]
        (planned,), (finished,) = scene.of(ev.CallPlanned), scene.of(ev.CallFinished)
        assert (planned.worker, planned.tool, planned.arguments) == ("Alice", "gcd", {"a": 84, "b": 126})
        assert (finished.call, finished.status, finished.text) == (planned.call, "succeeded", "42")
        (told,) = scene.injected("tool")
        assert (told.worker, told.call, told.text) == ("Alice", planned.call, "<tool_response>42</tool_response>")
        assert scene.driver.lanes["Alice"] == f"I take 1: gcd.\n\n{GCD}\nAnswer 1: 42\n\nIt is 42."
        states = [one.state for one in scene.of(ev.WorkerStateChanged) if one.worker == "Alice"]
        assert states == ["waiting", "decoding", "finished", "decoding", "finished"]


def test_a_call_is_found_however_it_is_cut_into_tokens(engine: Engine) -> None:
    with Scene(engine, "Heidi") as scene:
        scene.to_the_end()
        assert [one.tool for one in scene.of(ev.CallPlanned)] == ["gcd"]
        assert scene.injected("tool")[0].text == "<tool_response>42</tool_response>"


@pytest.mark.parametrize(
    ("worker", "tool", "said"),
    [
        ("Erin", "?", "JSON"),
        ("Frank", "fly", "no tool 'fly'"),
        ("Grace", "gcd", "b"),
        ("Judy", "break_down", "ZeroDiv"),
    ],
)
def test_a_call_that_fails_is_told_to_its_caller_and_the_run_goes_on(
    worker: str, tool: str, said: str, engine: Engine
) -> None:
    def break_down() -> int:
        """A tool that breaks."""
        return 1 // 0

    with Scene(engine, worker, tools=tools_with(break_down)) as scene:
        scene.to_the_end()
        assert [one.tool for one in scene.of(ev.CallPlanned)] == [tool]
        (finished,) = scene.of(ev.CallFinished)
        assert finished.status == "failed"
        assert said in str(finished.error)
        assert scene.driver.lanes[worker].endswith("</tool_call>So it failed.It is 42.")
        assert scene.driver.outcome().status == "solved"


def test_the_others_go_on_while_a_worker_waits_for_its_tool(engine: Engine) -> None:
    others_said_three = threading.Event()

    def wait() -> str:
        """Ends when the others have said three things."""
        return "waited" if others_said_three.wait(30) else "gave up"

    def count(payload: ev.Payload) -> None:
        if isinstance(payload, ev.TokensAdded) and any("b3." in one["text"] for one in payload.tokens):
            others_said_three.set()

    with Scene(engine, "Carol", "Bob", tools=tools_with(wait)) as scene:
        scene.on_event = count
        scene.to_the_end()
        assert scene.driver.lanes["Carol"] == f"{call('wait')}Carol waited.It is 42."


def test_two_calls_in_one_breath_are_both_answered(engine: Engine) -> None:
    with Scene(engine, "Ivan") as scene:
        scene.to_the_end()
        assert [one.tool for one in scene.of(ev.CallPlanned)] == ["gcd", "add"]
        assert [one.text for one in scene.injected("tool")] == [
            "<tool_response>42</tool_response>",
            "<tool_response>3</tool_response>",
        ]
        assert scene.driver.lanes["Ivan"].endswith("Both.It is 42.")


def test_a_call_whose_last_token_uses_up_the_budget_is_not_run(engine: Engine) -> None:
    with Scene(engine, "Alice", max_tokens=2) as scene:
        scene.to_the_end()
        (finished,) = scene.of(ev.CallFinished)
        assert finished.status == "not_executed"
        assert scene.of(ev.CallStarted) == []
        assert scene.injected("tool") == []


def test_a_worker_whose_budget_ends_in_the_middle_of_a_plan_does_not_wait_for_its_results_after_the_closing(
    engine: Engine,
) -> None:
    """The call has ended before the budget is used up; the plan, which has not, ends with the closing's turn."""
    words = Prompting.from_json({**WORDS, "plan_end": "</calls>"})
    with Scene(engine, "Leo", prompting=words, max_tokens=3) as scene:
        while not scene.of(ev.CallPlanned):
            scene.step()
        scene.driver.settle(30.0)
        scene.to_the_end()
        states = [one.state for one in scene.of(ev.WorkerStateChanged)]
        assert scene.kinds(ev.CallStarted, ev.CallFinished) == ["call_started", "call_finished"]
        assert states == ["out_of_budget", "decoding", "finished"]
        assert scene.injected("tool") == []
        assert scene.driver.outcome().answer == "It is 42."


def test_a_call_that_the_budget_cut_short_is_none_and_the_answer_is_no_part_of_it(engine: Engine) -> None:
    """Heidi has written `<tool_call>{"name": "gcd", "arguments"`; what follows is her part of the closing."""
    with Scene(engine, "Heidi", max_tokens=3) as scene:
        scene.to_the_end()
        assert scene.of(ev.CallPlanned) == []
        assert scene.driver.outcome().answer == "It is 42."


def test_a_worker_that_was_retired_while_it_waited_hears_of_a_later_plan_when_that_has_ended(engine: Engine) -> None:
    let_go, running = threading.Event(), threading.Event()

    def wait() -> str:
        """Ends when it is let go."""
        running.set()
        let_go.wait(30)
        return "waited"

    words = Prompting.from_json({**WORDS, "plan_end": "</calls>"})
    try:
        with Scene(engine, "Mia", "Dave", tools=tools_with(wait), prompting=words) as scene:
            while not running.is_set():
                scene.step()
            scene.driver.retire("Mia")
            scene.step()
            scene.driver.say("Mia", "Go on")
            while not scene.driver.lanes["Mia"].endswith("and then </calls>"):
                assert scene.injected("tool") == []
                scene.step()
                scene.driver.settle(30.0)
            assert [one.text for one in scene.injected("tool")] == ["<tool_response>42</tool_response>"]
    finally:
        let_go.set()


def test_stopping_gives_up_a_call_that_still_runs_and_its_result_is_not_told(engine: Engine) -> None:
    let_go, running = threading.Event(), threading.Event()

    def wait() -> str:
        """Ends when it is let go."""
        running.set()
        let_go.wait(30)
        return "waited"

    try:
        with Scene(engine, "Carol", "Dave", tools=tools_with(wait)) as scene:
            scene.step()
            assert running.wait(30)
            scene.driver.stop()
            assert scene.driver.ended
            (finished,) = scene.of(ev.CallFinished)
            assert (finished.status, finished.error) == ("cancelled", "The run was stopped.")
            let_go.set()
            assert scene.step() == []
            assert scene.injected("tool") == []
            assert scene.driver.outcome().status == "stopped"
    finally:
        let_go.set()


# What is told.


def test_a_block_is_opened_before_anything_is_said_of_it(engine: Engine) -> None:
    with Scene(engine, "Kim", "Alice", layout="combined", max_tokens=20, prompting=STEPS) as scene:
        scene.to_the_end()
        opened: set[int] = set()
        for one in scene.told:
            match one:
                case ev.BlockOpened():
                    assert one.block not in opened
                    opened.add(one.block)
                case ev.TokensAdded():
                    assert {worker["block"] for worker in one.tokens} <= opened
                case ev.TextInjected() | ev.BlockFrozen():
                    assert one.block in opened
                case ev.BlocksMerged():
                    assert set(one.merged) <= opened
                    opened.add(one.block)
        assert scene.of(ev.BlocksMerged)


def test_tokens_and_texts_are_those_that_were_written(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        scene.to_the_end()
        tokenizer: Any = engine.tokenizer
        said = {"Alice": "", "Bob": ""}
        for event in scene.of(ev.TokensAdded):
            for one in event.tokens:
                said[one["worker"]] += one["text"]
                assert tokenizer.decode(one["ids"]) == one["text"]
        assert said == scene.driver.lanes
        for told in scene.of(ev.TextInjected):
            assert tokenizer.decode(told.ids) == told.text


def test_a_worker_is_told_with_the_budget_that_it_has(engine: Engine) -> None:
    with Scene(engine, "Alice", task="1. a\n2. b") as scene:
        assert [one.budget for one in scene.of(ev.WorkerAdded)] == [scene.driver.run.space.workers["Alice"].budget]
        assert scene.of(ev.WorkerAdded)[0].budget is not None
    with Scene(engine, "Alice", max_tokens=7) as scene:
        assert [one.budget for one in scene.of(ev.WorkerAdded)] == [7]


@pytest.mark.parametrize("layout", ["contiguous", "interleaved", "combined", "independent"])
def test_attention_is_told_per_worker_over_the_blocks_it_sees(layout: str, engine: Engine) -> None:
    how = {"layout": layout, "attention": True, "max_tokens": 8, "prompting": STEPS}
    with Scene(engine, "Kim", "Bob", "Alice", **how) as scene:
        told = 0
        while not scene.driver.ended:
            feeds = scene.step()
            events = scene.of(ev.TokensAdded)
            if len(events) == told:
                continue
            told = len(events)
            shares = events[-1].attention
            assert shares is not None
            assert {one["worker"] for one in events[-1].tokens} <= set(shares)
            for feed in feeds:
                mine = shares[feed.tag]
                assert sum(mine.values()) == pytest.approx(1.0, abs=1e-3)
                assert set(mine) == {str(block.id) for block in feed.view if block.length}
        assert told > 5


def test_attention_is_told_only_when_it_is_asked_for(engine: Engine) -> None:
    with Scene(engine, "Bob") as scene:
        scene.to_the_end()
        assert {one.attention is None for one in scene.of(ev.TokensAdded)} == {True}


def test_the_figures_are_those_of_the_events(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob") as scene:
        scene.to_the_end()
        metrics = scene.driver.metrics()
        tokens = [one for event in scene.of(ev.TokensAdded) for one in event.tokens]
        assert {one["name"]: one["tokens"] for one in metrics["workers"]} == {
            name: sum(len(one["ids"]) for one in tokens if one["worker"] == name) for name in ("Alice", "Bob")
        }
        assert metrics["calls"] == 1
        assert metrics["cache_tokens"] == engine.cache.num_tokens
        assert metrics["steps"] == scene.driver.steps
        assert {one["state"] for one in metrics["workers"]} == {"finished"}


# Outcomes.


def test_a_list_is_solved_when_every_item_has_an_answer(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob", task="1. gcd?", prompting=Prompting.from_json(LIST)) as scene:
        outcome = scene.to_the_end().driver.outcome()
        assert (outcome.status, outcome.answer) == ("solved", "1: 42")
        assert outcome.items == [{"item": 1, "question": "gcd?", "answer": "42", "worker": "Alice"}]


def test_a_list_with_an_item_left_open_is_unanswered(engine: Engine) -> None:
    with Scene(engine, "Alice", "Bob", task="1. gcd?\n2. b?", prompting=Prompting.from_json(LIST)) as scene:
        outcome = scene.to_the_end().driver.outcome()
        assert outcome.status == "unanswered"
        assert [one["answer"] for one in outcome.items] == ["42", None]


def test_a_task_that_is_no_list_is_solved_by_any_answer(engine: Engine) -> None:
    with Scene(engine, "Bob") as scene:
        assert scene.to_the_end().driver.outcome().status == "solved"
    silent = replace(Prompting.from_json(WORDS), closing="")
    with Scene(engine, "Bob", prompting=silent) as scene:
        outcome = scene.to_the_end().driver.outcome()
        assert (outcome.status, outcome.answer) == ("unanswered", "")


def test_a_worksheets_workers_have_a_budget_and_other_tasks_workers_have_none(engine: Engine) -> None:
    with Scene(engine, "Dave", task="1. a\n2. b") as scene:
        scene.to_the_end(limit=2000)
        assert scene.driver.outcome().metrics["workers"][0]["tokens"] > 100
    with Scene(engine, "Dave") as scene:
        assert scene.driver.run.brief.budget is None


def test_a_layout_of_a_persons_own_drives_a_run(engine: Engine) -> None:
    layout = Layout("own", lambda given, worker: (*given.prompt, *given.open[worker]))
    with Scene(engine, "Alice", "Bob", layout=layout) as scene:
        assert scene.to_the_end().driver.outcome().answer == "It is 42."


def test_a_worker_that_joins_in_mid_run_is_told_and_may_call(engine: Engine) -> None:
    with Scene(engine, "Bob") as scene:
        scene.step()
        scene.driver.add_worker("Alice")
        scene.to_the_end()
        assert [one.worker for one in scene.of(ev.WorkerAdded)] == ["Bob", "Alice"]
        assert [one.worker for one in scene.of(ev.CallPlanned)] == ["Alice"]
        assert "Answer 1: 42" in scene.driver.lanes["Alice"]


def test_a_refused_task_leaves_nothing_in_the_cache(engine: Engine) -> None:
    scene = Scene(engine, "Alice", task="x" * 3000)
    with pytest.raises(ContextOverflow):
        scene.driver.open()


def test_a_run_of_one_seed_is_the_same_twice_and_of_another_seed_another(tmp_path: Path) -> None:
    """The next word is far from certain here, and what is drawn is told."""
    engine = Engine.from_pretrained(save(tmp_path, *CHAINS, certainty=0.2))

    def told(seed: int) -> list[Any]:
        with Scene(engine, "Alice", "Bob", seed=seed, sampling=Sampling(temperature=1.0), max_tokens=8) as scene:
            scene.to_the_end(limit=2000)
            first = scene.of(ev.BlockOpened)[0].block
            return [
                (one["worker"], one["block"] - first, one["ids"])
                for event in scene.of(ev.TokensAdded)
                for one in event.tokens
            ]

    assert told(1) == told(1)
    assert told(1) != told(2)
