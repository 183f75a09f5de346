"""The executor: every call gets what it refers to, and ends in exactly one state, whatever its tool does."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from staged_tools import BOUND_S, DOUBLE, HALF, Stage, call, executing, made, states

from toolsets.executor import (
    Executor,
    ExecutorError,
    Finished,
    RunningPlan,
)
from toolsets.plan import Plan, PlannedCall, Ref, Template
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.tool import Tool, tool

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ------------------------------------------------------------------------------------------------------ results, order


async def test_a_call_gets_the_results_that_it_refers_to() -> None:
    def pair(a: int, b: str) -> dict[str, Any]:
        return {"numbers": [a, a + 1], "text": b}

    plan = Plan(
        (
            call("1", "double", n=21),
            call("2", "pair", a=Ref("1"), b=Template(("got ", Ref("1"), "!"))),
            call("3", "double", n=Ref("2", ("numbers", 1))),
        )
    )
    async with executing(DOUBLE, made(pair)) as executor:
        outcomes = await executor.run(plan)
    assert [one.value for one in outcomes] == [42, {"numbers": [42, 43], "text": "got 42!"}, 86]
    assert [one.text for one in outcomes] == ["42", '{"numbers": [42, 43], "text": "got 42!"}', "86"]


async def test_a_result_that_looks_like_a_reference_stays_text() -> None:
    def echo(text: str) -> str:
        return text

    async with executing(made(echo)) as executor:
        outcomes = await executor.run(Plan((call("1", "echo", text="$2"), call("2", "echo", text=Ref("1")))))
    assert [one.value for one in outcomes] == ["$2", "$2"]


async def test_a_call_starts_while_the_plan_is_still_being_written() -> None:
    stage = Stage()
    async with executing(stage.tool()) as executor, executor.plan() as running:
        running.add(call("1", "wait", name="a"))
        await stage.reached("a")
        running.add(call("2", "wait", name="b"))
        await stage.reached("b")
        assert not running.closed
        stage.release("a", "b")


async def test_results_keep_the_order_of_the_text_whatever_arrives_or_ends_first() -> None:
    stage = Stage()
    async with executing(stage.tool()) as executor:
        async with executor.plan() as running:
            running.add(PlannedCall("late", "wait", {"name": "late"}, line=2))
            await stage.reached("late")
            running.add(PlannedCall("early", "wait", {"name": "early"}, line=1))
            assert running.outcomes == ()
            stage.release("late", "early")
        assert [one.call for one in running.outcomes] == ["early", "late"]
        assert stage.order == ["late", "early"]


async def test_a_call_may_refer_to_one_that_arrives_after_it() -> None:
    async with executing(DOUBLE) as executor, executor.plan() as running:
        running.add(call("1", "double", n=Ref("2")))
        running.add(call("2", "double", n=1))
        running.close()
        assert [one.value for one in await running.results()] == [4, 2]


async def test_a_tool_that_changes_what_it_is_given_changes_no_result() -> None:
    def numbers() -> list[Any]:
        return [[1], 2]

    async def spoil(things: list[Any]) -> int:
        things[0].append("spoiled")
        things.clear()
        return 0

    async with executing(made(numbers), made(spoil)) as executor:
        outcomes = await executor.run(Plan((call("1", "numbers"), call("2", "spoil", things=Ref("1")))))
    assert [one.value for one in outcomes] == [[[1], 2], 0]


async def test_tools_may_be_plain_async_or_objects_with_an_async_call() -> None:
    class Triple:
        """Three times a number."""

        __name__ = "triple"

        async def __call__(self, n: int) -> int:
            await anyio.lowlevel.checkpoint()
            return 3 * n

    tools = (DOUBLE, HALF, Tool.from_function(Triple()))
    async with executing(*tools) as executor:
        outcomes = await executor.run(Plan(tuple(call(tool.name, tool.name, n=6) for tool in tools)))
    assert [one.value for one in outcomes] == [12, 3, 18]


async def test_what_a_generator_gives_is_a_list_that_other_calls_can_use() -> None:
    def some(n: int) -> Iterator[int]:
        """Numbers below another."""
        yield from range(n)

    async def later(numbers: list[int]) -> AsyncIterator[int]:
        """Numbers, one at a time."""
        for number in numbers:
            await anyio.lowlevel.checkpoint()
            yield 2 * number

    async with executing(Tool.from_function(some), Tool.from_function(later)) as executor:
        calls = (call("1", "some", n=3), call("2", "later", numbers=Ref("1")))
        outcomes = await executor.run(Plan(calls))
    assert [one.value for one in outcomes] == [[0, 1, 2], [0, 2, 4]]
    assert outcomes[1].text == "[0, 2, 4]"


# -------------------------------------------------------------------------------------------------------- final states


async def test_a_failing_call_costs_its_siblings_nothing_and_skips_those_that_refer_to_it() -> None:
    plan = Plan(
        (
            call("1", "half", n=3),
            call("2", "half", n=8),
            call("3", "double", n=Ref("1")),
            call("4", "double", n=Ref("3")),
            call("5", "double", n=1, after=("1",)),
        )
    )
    async with executing(DOUBLE, HALF) as executor:
        outcomes = await executor.run(plan)
    assert [one.text for one in outcomes] == [
        "failed: 3 has no half.",
        "4",
        "skipped: It refers to $1, which failed.",
        "skipped: It refers to $3, which was skipped.",
        "2",
    ]
    assert [one.attempts for one in outcomes] == [1, 1, 0, 0, 1]


async def test_a_failed_call_can_pass_its_error_on_as_a_value() -> None:
    def describe(text: str, kind: str = "") -> str:
        return f"<{text}>"

    policy = CallPolicy(on_failure="pass")
    plan = Plan(
        (
            call("1", "half", policy=policy, n=3),
            call("2", "describe", text=Ref("1", ("rows", 0))),
            call("3", "describe", text=Template(("It ", Ref("1")))),
            call("4", "double", n=Ref("1")),
        )
    )
    async with executing(DOUBLE, HALF, made(describe)) as executor:
        outcomes = await executor.run(plan)
    assert [one.value for one in outcomes[1:3]] == ["<failed: 3 has no half.>", "<It failed: 3 has no half.>"]
    assert outcomes[3].error == "n of double must be a whole number, not 'failed: 3 has no half.'."


async def test_a_failed_call_can_stop_the_plan_and_what_runs_keeps_its_result() -> None:
    stage = Stage()
    async with executing(stage.tool(), HALF) as executor:
        async with executor.plan() as running:
            running.add(call("1", "wait", name="a"))
            running.add(call("2", "wait", name="b", after=("1",)))
            await stage.reached("a")
            stream = running.events()
            running.add(call("3", "half", policy=CallPolicy(on_failure="stop"), n=3))
            async for event in stream:
                if isinstance(event, Finished) and event.call == "2":
                    break
            running.add(call("4", "half", n=2))
            stage.release("a")
        assert states(running.outcomes) == {
            "1": "succeeded",
            "2": "not_executed",
            "3": "failed",
            "4": "not_executed",
        }
        reason = "not executed: The plan was stopped, because call 3 (half) failed."
        assert [running.outcomes[index].text for index in (1, 3)] == [reason, reason]


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(), BaseException()]
)
@pytest.mark.parametrize("plain", [True, False])
async def test_nothing_that_a_tool_raises_gets_out(raised: BaseException, plain: bool) -> None:
    def broken() -> int:
        raise raised

    async def async_broken() -> int:
        raise raised

    tool = made(broken if plain else async_broken)
    async with executing(tool, DOUBLE) as executor:
        outcomes = await executor.run(Plan((call("1", tool.name), call("2", "double", n=1))))
    assert states(outcomes) == {"1": "failed", "2": "succeeded"}
    assert (outcomes[0].error or "").startswith(f"{tool.name} broke with {type(raised).__name__}: ")


async def test_an_async_tool_that_cancels_itself_has_failed() -> None:
    async def giving_up() -> int:
        raise anyio.get_cancelled_exc_class()  # trio does not let one be made

    async with executing(made(giving_up), DOUBLE) as executor:
        outcomes = await executor.run(Plan((call("1", "giving_up"), call("2", "double", n=1))))
    assert states(outcomes) == {"1": "failed", "2": "succeeded"}


async def test_an_error_of_a_group_is_told_in_its_own_words() -> None:
    async def grouped() -> int:
        raise ExceptionGroup("unhandled errors", [ValueError("The moon is not full.")])

    async with executing(made(grouped)) as executor:
        (outcome,) = await executor.run(Plan((call("1", "grouped"),)))
    assert outcome.error == "The moon is not full."


async def test_a_value_that_cannot_be_told_is_a_failure() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def strange() -> Any:
        return Unprintable()

    def nested() -> Any:
        async def inner() -> int:
            return 1

        return inner()

    async with executing(made(strange), made(nested)) as executor:
        outcomes = await executor.run(Plan((call("1", "strange"), call("2", "nested"))))
    assert outcomes[0].error == "strange broke with RuntimeError: no words"
    assert outcomes[1].error == "nested broke with TypeError: it gave a coroutine: declare it with async def"


async def test_what_cannot_be_run_fails_with_a_sentence() -> None:
    plan = Plan(
        (
            call("1", "sqrt", n=1),
            call("2", "double", n="x"),
            call("3", "double", m=1),
            call("4", "double", n=Ref("9")),
            call("5", "double", n=Ref("5")),
            call("6", "double", n=Ref("1")),
        )
    )
    async with executing(DOUBLE, HALF) as executor:
        outcomes = await executor.run(plan)
    assert [one.text for one in outcomes] == [
        "failed: There is no tool 'sqrt': use one of double, half.",
        "failed: n of double must be a whole number, not 'x'.",
        "failed: double has no parameter 'm': call it as double(n: int).",
        "failed: It refers to $9, and there is no such call: refer to a call of this plan.",
        "failed: Call 5 waits for itself, through what it refers to: refer to earlier calls only.",
        "skipped: It refers to $1, which failed.",
    ]


async def test_a_path_that_leads_nowhere_fails_the_call_that_names_it() -> None:
    plan = Plan((call("1", "double", n=1), call("2", "double", n=Ref("1", ("total",)))))
    async with executing(DOUBLE) as executor:
        outcomes = await executor.run(plan)
    assert states(outcomes) == {"1": "succeeded", "2": "failed"}


async def test_a_call_that_takes_too_long_is_timed_out_and_its_tool_stopped() -> None:
    stopped = anyio.Event()

    async def endless() -> int:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        return 0

    tool = made(endless, policy=CallPolicy(timeout_s=0.01, retries=0))
    async with executing(tool, DOUBLE) as executor:
        outcomes = await executor.run(Plan((call("1", "endless"), call("2", "double", n=Ref("1")))))
        await stopped.wait()
    assert [one.text for one in outcomes] == [
        "timed out: endless took longer than its 0.01 s: ask for less, or give it more time.",
        "skipped: It refers to $1, which timed out.",
    ]


async def test_an_async_tool_that_will_not_stop_holds_nobody_up() -> None:
    release = anyio.Event()

    async def stubborn() -> int:
        with anyio.CancelScope(shield=True):
            await release.wait()
        return 0

    tool = made(stubborn, policy=CallPolicy(timeout_s=0.01, retries=0), max_concurrent=1)
    async with executing(tool, DOUBLE) as executor:
        outcomes = await executor.run(Plan((call("1", "stubborn"), call("2", "stubborn"), call("3", "double", n=1))))
        assert states(outcomes) == {"1": "timed_out", "2": "timed_out", "3": "succeeded"}
        release.set()


async def test_cancelling_a_plan_gives_every_call_a_result_at_once() -> None:
    stage = Stage()
    async with executing(stage.tool(max_concurrent=1), DOUBLE) as executor, executor.plan() as running:
        running.add(call("0", "double", n=1))
        running.add(call("1", "wait", ("0",), name="a"))
        running.add(call("2", "wait", ("0",), name="b"))
        running.add(call("3", "double", n=Ref("1")))
        running.add(call("4", "double", n=Ref("9")))
        await stage.reached("a")
        running.cancel("Enough.")
        assert running.ended
        assert states(running.outcomes) == {"0": "succeeded"} | dict.fromkeys("1234", "cancelled")
        assert [one.attempts for one in running.outcomes] == [1, 1, 0, 0, 0]
        assert running.outcomes[1].text == "cancelled: Enough."
        running.cancel()
        with pytest.raises(ExecutorError):
            running.add(call("5", "double", n=1))
    assert stage.order == ["a"]


async def test_cancelling_one_call_leaves_the_others() -> None:
    stage = Stage()
    async with executing(stage.tool(), DOUBLE) as executor:
        async with executor.plan() as running:
            running.add(call("1", "wait", name="a"))
            running.add(call("2", "wait", name="b"))
            running.add(call("3", "double", n=Ref("1")))
            await stage.reached("b")
            assert running.cancel_call("1")
            assert not running.cancel_call("1")
            assert not running.cancel_call("none")
            stage.release("b")
        assert states(running.outcomes) == {"1": "cancelled", "2": "succeeded", "3": "skipped"}


async def test_leaving_a_block_by_an_error_cancels_what_runs_and_raises_that_error() -> None:
    stage = Stage()
    plans: list[RunningPlan] = []

    async def leave(executor: Executor) -> None:
        async with executor, executor.plan() as running:
            plans.append(running)
            running.add(call("1", "wait", name="a"))
            await stage.reached("a")
            raise LookupError

    with anyio.fail_after(BOUND_S), pytest.raises(LookupError):
        await leave(Executor({"wait": stage.tool()}))
    assert states(plans[0].outcomes) == {"1": "cancelled"}


async def test_cancelling_whoever_waits_cancels_the_plan() -> None:
    stage = Stage()
    plans: list[RunningPlan] = []

    async def wait_for_it(executor: Executor) -> None:
        async with executor.plan() as running:
            plans.append(running)
            running.add(call("1", "wait", name="a"))
            running.add(call("2", "wait", name="b", after=("1",)))

    async with executing(stage.tool()) as executor, anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_it, executor)
        await stage.reached("a")
        tasks.cancel_scope.cancel()
    assert states(plans[0].outcomes) == {"1": "cancelled", "2": "cancelled"}


async def test_closing_the_executor_ends_every_call_of_every_plan() -> None:
    stage = Stage()
    async with executing(stage.tool(), DOUBLE) as executor:
        plans = [executor.open(), executor.open()]
        for plan in plans:
            plan.add(call("1", "wait", name=plan.id))
            plan.add(call("2", "double", n=Ref("1")))
            await stage.reached(plan.id)
    for plan in plans:
        assert states(await plan.results()) == {"1": "cancelled", "2": "cancelled"}
    with pytest.raises(ExecutorError):
        executor.open()


def test_a_long_plan_begins_before_all_of_it_is_taken_in_and_ends_whole_when_it_is_cancelled_meanwhile() -> None:
    told: list[str] = []

    @tool
    async def echo(x: int) -> int:
        """Give it back."""
        return x

    plan = Plan(tuple(PlannedCall(str(n), "echo", {"x": n}) for n in range(1, 101)))

    async def main() -> tuple[CallOutcome, ...]:
        async def cancel() -> None:
            running = executor._plans["p1"]
            assert len(running._nodes) < len(plan)
            running.cancel()

        executor = Executor({"echo": echo}, on_event=lambda event: told.append(type(event).__name__))
        async with executor, anyio.create_task_group() as group:
            group.start_soon(cancel)
            return await executor.run(plan)

    outcomes = anyio.run(main)
    assert [one.call for one in outcomes] == [call.id for call in plan]
    assert {one.state for one in outcomes} == {"cancelled"}
    assert told.count("Planned") == told.count("Finished") == len(plan)
