"""What is told of running calls, to whom, and how the executor refuses wrong use."""

import logging
import threading

import anyio
import pytest
from staged_tools import BOUND_S, DOUBLE, HALF, call, executing, made, states

from toolsets.executor import (
    Event,
    Executor,
    ExecutorError,
    Finished,
    Output,
    Planned,
    Progress,
    RunningPlan,
    Started,
    report_isolation,
    report_output,
    report_progress,
)
from toolsets.plan import Plan, Ref

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("plain", [True, False])
async def test_progress_and_output_of_a_running_tool_are_told_before_its_end(plain: bool) -> None:
    def work() -> int:
        report_progress(1, 4, "a quarter")
        report_progress(float("nan"), 4, "no number")
        report_output("first ")
        report_output("line")
        report_isolation("another planet")
        return 1

    async def async_work() -> int:
        return work()

    tool = made(work if plain else async_work)
    events: list[Event] = []
    async with executing(tool, on_event=events.append) as executor:
        (outcome,) = await executor.run(Plan((call("1", tool.name),)))
    assert isinstance(events[0], Planned)
    assert isinstance(events[1], Started)
    assert Progress("p1", "1", 1.0, 4.0, "a quarter") in events[2:-1]
    assert "".join(one.text for one in events if isinstance(one, Output)) == "first line"
    assert events[-1] == Finished("p1", "1", outcome)
    assert outcome.isolation == "another planet"


async def test_progress_reaches_whoever_reads_the_stream_while_the_tool_still_runs() -> None:
    heard = anyio.Event()

    async def patient() -> str:
        report_progress(0.5)
        await heard.wait()
        return "done"

    async with executing(made(patient)) as executor, executor.plan() as running:
        stream = running.events()
        running.add(call("1", "patient"))
        running.close()
        kinds = []
        async for event in stream:
            kinds.append(type(event))
            if isinstance(event, Progress):
                heard.set()
    assert kinds == [Planned, Started, Progress, Finished]


def test_reports_outside_a_call_do_nothing() -> None:
    report_progress(1)
    report_output("x")
    report_isolation("x")


async def test_a_tool_that_reports_without_end_costs_no_memory() -> None:
    def flood() -> int:
        for n in range(20_000):
            report_progress(n)
            report_output("x" * 100)
        return 1

    events: list[Event] = []
    async with executing(made(flood), on_event=events.append) as executor:
        await executor.run(Plan((call("1", "flood"),)))
    shown = "".join(one.text for one in events if isinstance(one, Output))
    assert len(shown) == 1_000_000
    assert [one.done for one in events if isinstance(one, Progress)][-1] == 19_999


async def test_a_listener_that_breaks_costs_nobody_a_result(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("no room on the disk")

    with caplog.at_level(logging.CRITICAL, logger="toolsets"):
        async with executing(DOUBLE, on_event=broken) as executor:
            (outcome,) = await executor.run(Plan((call("1", "double", n=1),)))
    assert outcome.value == 2


async def test_a_listener_may_add_calls_and_cancel() -> None:
    plans: list[RunningPlan] = []

    def heard(event: Event) -> None:
        if isinstance(event, Finished) and event.call == "1":
            plans[0].add(call("2", "double", n=Ref("1")))
            plans[0].add(call("3", "double", n=Ref("1")))
        elif isinstance(event, Started) and event.call == "3":
            plans[0].cancel_call("3")
        elif isinstance(event, Planned) and event.call == "4":
            plans[0].cancel_call("4")

    async with executing(DOUBLE, on_event=heard) as executor:
        async with executor.plan() as running:
            plans.append(running)
            running.add(call("1", "double", n=1))
            running.add(call("4", "double", n=1))
            while len(running.outcomes) < 4:
                await anyio.wait_all_tasks_blocked()
        assert states(running.outcomes) == {"1": "succeeded", "4": "cancelled", "2": "succeeded", "3": "cancelled"}


async def test_a_call_that_is_cancelled_at_its_start_never_reaches_its_tool() -> None:
    reached: list[int] = []
    plans: list[RunningPlan] = []

    def reach() -> int:
        reached.append(1)
        return 1

    def heard(event: Event) -> None:
        if isinstance(event, Started):
            plans[0].cancel()

    async with executing(made(reach), on_event=heard) as executor, executor.plan() as running:
        plans.append(running)
        running.add(call("1", "reach"))
        running.close()
        assert states(await running.results()) == {"1": "cancelled"}
    for thread in threading.enumerate():
        if thread.name == "tool call":
            thread.join(BOUND_S)
    assert reached == []


# --------------------------------------------------------------------------------------------------------------- misuse


async def test_wrong_use_is_refused_with_a_sentence() -> None:
    with pytest.raises(ExecutorError, match="number of 1 or more"):
        Executor({}, max_concurrent=0)
    with pytest.raises(ExecutorError, match="number of 1 or more"):
        Executor({}, server_caps={"far": 0})
    with pytest.raises(ExecutorError, match="async with"):
        Executor({}).open()
    async with executing(DOUBLE) as executor:
        with pytest.raises(ExecutorError, match="runs already"):
            await executor.__aenter__()
        async with executor.plan("p") as running:
            running.add(call("1", "double", n=1))
            with pytest.raises(ExecutorError, match="another id"):
                running.add(call("1", "double", n=1))
        with pytest.raises(ExecutorError, match="another id"):
            executor.open("p")
        with pytest.raises(ExecutorError, match="closed"):
            running.add(call("2", "double", n=1))


async def test_a_chain_of_thousands_of_failures_is_no_recursion() -> None:
    calls = [call("0", "half", n=1), *(call(str(n), "half", n=Ref(str(n - 1))) for n in range(1, 3_000))]
    async with executing(HALF) as executor:
        outcomes = await executor.run(Plan(tuple(calls)))
    assert [one.state for one in outcomes] == ["failed", *["skipped"] * 2_999]
