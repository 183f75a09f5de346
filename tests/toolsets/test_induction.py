"""Composite tools learnt from runs: data flow, anti-unification, what is kept, and what a person is shown."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from memory.planning import plan_move
from memory.store import Library
from toolsets.composites import Constant, Items, Result
from toolsets.executor import Executor
from toolsets.fronts import parse
from toolsets.induction import Trace, TracedCall, induce, propose
from toolsets.induction.flow import flow_of
from toolsets.induction.traces import Question
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.rendering import render_result
from toolsets.resolve import resolve
from toolsets.seeding import seed_library
from toolsets.shelf import tools_of
from toolsets.standard import STANDARD
from toolsets.tool import Tool


def traced(run: str, task: str, plan: Plan, tools: Any = STANDARD, *, refs: bool = True) -> Trace:
    """The trace of a plan that the executor really ran. refs: what was written with `$` is known to be a reference."""

    async def ran() -> Any:
        async with Executor(tools) as executor:
            return await executor.run(plan)

    outcomes = {outcome.call: outcome for outcome in anyio.run(ran)}
    assert all(outcome.succeeded for outcome in outcomes.values())
    values = {call: outcome.value for call, outcome in outcomes.items()}
    calls = []
    for call in plan:
        written = {name: value for name, value in call.arguments.items() if isinstance(value, Ref)} if refs else {}
        arguments = resolve(call.arguments, values)
        calls.append(
            TracedCall(call.id, call.tool, arguments, values[call.id], render_result(values[call.id]), written)
        )
    last = calls[-1]
    return Trace(run, task, tuple(calls), (Question(task, last.text), Question("What is the weather?", "fine")))


def discount(run: str, price: int, percent: int, **how: Any) -> Trace:
    plan = Plan(
        (
            PlannedCall("1", "percent_of", {"percent": percent, "value": price}),
            PlannedCall("2", "subtract", {"a": price, "b": Ref("1")}),
        )
    )
    return traced(run, f"What is left of {price} dollars after {percent} percent off?", plan, **how)


PRICES = [(80, 25), (200, 15), (450, 30), (120, 5), (990, 40), (640, 35), (72, 50)]


def discounts(**how: Any) -> list[Trace]:
    return [discount(f"run{number}", *one, **how) for number, one in enumerate(PRICES)]


def test_a_recurring_piece_becomes_a_composite_with_parameters_where_instances_differ() -> None:
    (found,) = induce(discounts(), STANDARD)
    first, second = found.composite.parts
    assert (first.tool, second.tool) == ("percent_of", "subtract")
    # One price in two places is one parameter.
    assert second.arguments == {"a": first.arguments["value"], "b": Result("1")}
    assert found.composite.parameters == {"percent": {"type": "number"}, "value": {"type": "number"}}
    assert len(found.instances) == len(PRICES)
    assert found.instances[0].arguments == {"percent": 25, "value": 80}
    assert found.instances[0].question == "What is left of 80 dollars after 25 percent off?"


def test_an_edge_is_found_from_equal_values_where_nothing_was_written() -> None:
    (found,) = induce(discounts(refs=False), STANDARD)
    assert found.composite.parts[1].arguments["b"] == Result("1")


def test_a_value_that_the_task_gives_is_no_edge() -> None:
    plan = Plan((PlannedCall("1", "add", {"a": 20, "b": 16}), PlannedCall("2", "multiply", {"a": 36, "b": 3})))
    explained = flow_of(traced("r", "Add 20 and 16. What is 36 times 3?", plan), STANDARD)
    assert explained[1].terms["a"] == Constant(36)
    unexplained = flow_of(traced("r", "Add 20 and 16 and take it three times.", plan), STANDARD)
    assert unexplained[1].terms["a"] == Result("1")


def asked_in_two(run: str, price: int, percent: int) -> Trace:
    """A person who asks for the discount, and then passes its value on in a question of their own."""
    off = price * percent // 100
    plan = Plan(
        (
            PlannedCall("1", "percent_of", {"percent": percent, "value": price}),
            PlannedCall("2", "subtract", {"a": price, "b": off}),
        )
    )
    return traced(run, f"1. What is {percent} percent of {price}?\n2. What is {price} minus {off}?", plan)


def test_a_result_that_a_person_passes_on_in_the_task_is_an_edge_once_three_runs_with_other_values_agree() -> None:
    asked = [asked_in_two(f"run{number}", *one) for number, one in enumerate([(80, 25), (200, 15), (640, 35)])]
    (found,) = induce(asked, STANDARD)
    assert [part.tool for part in found.composite.parts] == ["percent_of", "subtract"]
    assert found.composite.parts[1].arguments["b"] == Result("1")
    assert induce(asked[:2], STANDARD) == []
    # Twenty each time: the two questions may have nothing to do with each other.
    same = [asked_in_two(f"run{number}", *one) for number, one in enumerate([(80, 25), (100, 20), (200, 10), (400, 5)])]
    assert induce(same, STANDARD) == []


def test_small_numbers_and_truth_values_are_equal_by_accident() -> None:
    plan = Plan((PlannedCall("1", "add", {"a": 1, "b": 1}), PlannedCall("2", "multiply", {"a": 2, "b": 50})))
    assert flow_of(traced("r", "Something.", plan), STANDARD)[1].terms["a"] == Constant(2)


def test_what_all_instances_share_is_a_constant_and_lists_are_looked_into() -> None:
    def trace(number: int, a: int, b: int) -> Trace:
        plan = Plan(
            (
                PlannedCall("x", "multiply", {"a": a, "b": 60}),
                PlannedCall("y", "multiply", {"a": b, "b": 60}),
                PlannedCall("z", "mean", {"numbers": [Ref("x"), Ref("y")]}),
            )
        )
        return traced(f"run{number}", f"Mean of {a} and {b} hours in minutes?", plan)

    (found,) = induce([trace(n, 7 + 3 * n, 11 + 5 * n) for n in range(5)], STANDARD)
    assert [part.arguments["b"] for part in found.composite.parts[:2]] == [Constant(60), Constant(60)]
    assert found.composite.parts[2].arguments == {"numbers": Items((Result("1"), Result("2")))}
    assert len(found.composite.parameters) == 2


def test_a_diamond_is_taken_whole_and_not_once_more_in_pieces() -> None:
    def trace(number: int, n: int) -> Trace:
        plan = Plan(
            (
                PlannedCall("1", "power", {"base": n, "exponent": 2}),
                PlannedCall("2", "add", {"a": Ref("1"), "b": n}),
                PlannedCall("3", "subtract", {"a": Ref("1"), "b": n}),
                PlannedCall("4", "multiply", {"a": Ref("2"), "b": Ref("3")}),
            )
        )
        return traced(f"run{number}", f"The trick with {n}?", plan)

    (found,) = induce([trace(number, 13 + number) for number in range(4)], STANDARD)
    assert sorted(part.tool for part in found.composite.parts) == ["add", "multiply", "power", "subtract"]
    assert list(found.composite.parameters.values()) == [{"type": "integer"}]


def test_a_result_that_is_used_elsewhere_stays_outside() -> None:
    plan = Plan(
        (
            PlannedCall("1", "add", {"a": 40, "b": 2}),
            PlannedCall("2", "multiply", {"a": Ref("1"), "b": 9}),
            PlannedCall("3", "subtract", {"a": Ref("1"), "b": 8}),
        )
    )
    assert induce([traced("a", "?", plan), traced("b", "?", plan)], STANDARD, min_gain=-100) == []


def test_what_does_not_shorten_plans_is_not_kept() -> None:
    traces = discounts()
    assert induce(traces[:2], STANDARD) == []
    assert len(induce(traces[:2], STANDARD, min_gain=-100)) == 1
    assert [one.gain for one in induce(traces, STANDARD)] == [7 * (12 - 6) - (12 + 4 + 1)]


def test_the_same_question_asked_again_teaches_nothing() -> None:
    assert induce([discount(f"run{n}", 80, 25) for n in range(20)], STANDARD) == []


def test_what_does_not_come_out_the_same_again_is_not_kept() -> None:
    draw = random.Random(7)

    def noisy(a: float, b: float) -> float:
        """Sum with noise."""
        return a + b + draw.random()

    tools = {**STANDARD, "noisy": Tool.from_function(noisy)}

    def trace(number: int) -> Trace:
        plan = Plan(
            (
                PlannedCall("1", "noisy", {"a": 100 + number, "b": 20}),
                PlannedCall("2", "multiply", {"a": Ref("1"), "b": 30}),
            )
        )
        return traced(f"run{number}", "?", plan, tools)

    assert induce([trace(n) for n in range(8)], tools) == []


def test_tools_that_change_something_are_not_run_again() -> None:
    sent: list[str] = []

    def post(text: str) -> str:
        """Send."""
        sent.append(text)
        return f"sent {text}"

    tools = {**STANDARD, "post": Tool.from_function(post, effect="write")}

    def trace(number: int) -> Trace:
        plan = Plan(
            (PlannedCall("1", "reverse_text", {"text": f"abc{number}"}), PlannedCall("2", "post", {"text": Ref("1")}))
        )
        return traced(f"run{number}", "?", plan, tools)

    traces = [trace(n) for n in range(9)]
    before = len(sent)
    assert induce(traces, tools) == []
    assert len(sent) == before


@pytest.fixture
def library(tmp_path: Path) -> Library:
    opened = Library(tmp_path)
    seed_library(opened)
    return opened


def test_a_composite_is_proposed_with_its_evidence_approved_and_called(library: Library) -> None:
    (row,) = propose(library, induce(discounts(), STANDARD), STANDARD)
    assert (row.state, row.name, row.tags) == ("proposed", "percent_of_then_subtract", ("composite",))
    assert row.content["problems"][0] == {
        "text": "What is left of 80 dollars after 25 percent off?",
        "answer": "60",
        "call": "percent_of_then_subtract(percent=25, value=80)",
    }
    assert len(row.content["calls"]) == len(PRICES)
    evidence = row.snapshot.provenance
    assert evidence["runs"][:2] == ["run0", "run1"]
    assert evidence["evidence"] == {"instances": 7, "rerun_to_the_same_result": 7, "words_saved": 25}
    library.apply(plan_move([library.row(row.row_id)], "approve"), author="ana")
    tool = tools_of(library, ["percent_of_then_subtract"])["percent_of_then_subtract"]
    assert tool.description == "Percentage of a value, then difference of two numbers"
    assert tool.signature() == "percent_of_then_subtract(percent: number, value: number)"
    assert tool(percent=10, value=300) == 270
    assert tool.examples == ("percent_of_then_subtract(percent=25, value=80) -> 60",
                             "percent_of_then_subtract(percent=15, value=200) -> 170")  # fmt: skip


def test_what_the_library_knows_or_a_person_rejected_is_not_proposed_again(library: Library) -> None:
    induced = induce(discounts(), STANDARD)
    (row,) = propose(library, induced, STANDARD)
    assert propose(library, induced, STANDARD) == []
    library.apply(plan_move([library.row(row.row_id)], "reject"), author="ana")
    assert propose(library, induced, STANDARD) == []


def test_a_plan_as_a_model_writes_it_teaches_the_same(library: Library) -> None:
    traces = []
    for number, (price, percent) in enumerate(PRICES):
        text = f"1. percent_of(percent={percent}, value={price})\n2. subtract(a={price}, b=$1)\n"
        traces.append(traced(f"run{number}", "?", Plan(_calls(text))))
    (found,) = induce(traces, STANDARD)
    assert found.composite.tools() == ("percent_of", "subtract")


def _calls(text: str) -> Sequence[PlannedCall]:
    return parse(text, "llmcompiler")[0].calls
