"""Identical idempotent calls run once, and whoever is answered by another call is told so."""

from typing import Any

import anyio
import pytest

from toolsets.executor import Approvals, Decision, Event, Executor, Finished, Started
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.policy import CallPolicy
from toolsets.tool import Tool

pytestmark = pytest.mark.anyio
BOUND_S = 20


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call(id: str, tool: str, **arguments: Any) -> PlannedCall:
    return PlannedCall(id, tool, arguments)


class Counted:
    """Tools that count their executions, and stop until they are let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.seen: list[Any] = []
        self.begun, self.free = anyio.Event(), anyio.Event()
        if not held:
            self.free.set()

    def tool(self, name: str = "look", **declared: Any) -> Tool:
        async def look(n: int) -> str:
            """A look."""
            self.seen.append(n)
            self.begun.set()
            await self.free.wait()
            if n < 0:
                raise ValueError("Too deep.")
            return f"seen {n}"

        look.__name__ = name
        return Tool.from_function(look, **declared)


async def test_two_workers_share_one_execution_and_both_are_told() -> None:
    counted, events = Counted(held=True), list[Event]()
    with anyio.fail_after(BOUND_S):
        async with Executor({"look": counted.tool(idempotent=True)}, on_event=events.append) as executor:
            async with executor.plan("ada") as ada, executor.plan("ben") as ben:
                ada.add(call("1", "look", n=7))
                await counted.begun.wait()
                ben.add(call("9", "look", n="7"))
                counted.free.set()
            (first,), (second,) = ada.outcomes, ben.outcomes
            assert counted.seen == [7]
            assert (first.value, second.value) == ("seen 7", "seen 7")
            assert (first.shared_with, first.attempts) == (("ben/9",), 1)
            assert (second.shared_with, second.attempts) == (("ada/1",), 0)
            started = [one for one in events if isinstance(one, Started)]
            assert [(one.plan, one.shared_with) for one in started] == [("ada", None), ("ben", "ada/1")]


async def test_the_second_goes_on_when_the_first_is_cancelled() -> None:
    counted = Counted(held=True)
    with anyio.fail_after(BOUND_S):
        async with Executor({"look": counted.tool(idempotent=True)}) as executor:
            async with executor.plan("ada") as ada, executor.plan("ben") as ben:
                ada.add(call("1", "look", n=7))
                ben.add(call("1", "look", n=7))
                await counted.begun.wait()
                ada.cancel()
                assert ada.outcomes[0].state == "cancelled"
                counted.free.set()
            assert ben.outcomes[0].value == "seen 7"
            assert ben.outcomes[0].shared_with == ("ada/1",)
            assert counted.seen == [7]


async def test_an_execution_that_nobody_waits_for_any_longer_is_stopped() -> None:
    counted = Counted(held=True)
    with anyio.fail_after(BOUND_S):
        async with Executor({"look": counted.tool(idempotent=True)}, max_concurrent=1) as executor:
            async with executor.plan() as ada, executor.plan() as ben, executor.plan() as eve:
                ada.add(call("1", "look", n=7))
                ben.add(call("1", "look", n=7))
                await counted.begun.wait()
                ada.cancel()
                ben.cancel()
                counted.begun = anyio.Event()
                eve.add(call("1", "look", n=7))
                await counted.begun.wait()
                counted.free.set()
            assert eve.outcomes[0].value == "seen 7"
            assert counted.seen == [7, 7]


async def test_a_finished_execution_answers_later_calls_too() -> None:
    counted = Counted()
    tools = {"look": counted.tool(idempotent=True)}
    async with Executor(tools) as executor:
        await executor.run(Plan((call("1", "look", n=7),)))
        calls = (call("1", "look", n=7), call("2", "look", n=8), PlannedCall("3", "look", {"n": 8}, after=("2",)))
        outcomes = await executor.run(Plan(calls))
    assert counted.seen == [7, 8]
    assert [one.shared_with for one in outcomes] == [("p1/1",), (), ("p2/2",)]


async def test_failures_are_not_kept_for_later_calls() -> None:
    counted = Counted()
    async with Executor({"look": counted.tool(idempotent=True)}) as executor:
        for _ in range(2):
            await executor.run(Plan((call("1", "look", n=-1),)))
    assert counted.seen == [-1, -1]


async def test_calls_of_a_tool_that_is_not_idempotent_share_nothing() -> None:
    counted = Counted()
    async with Executor({"look": counted.tool()}) as executor:
        outcomes = await executor.run(Plan((call("1", "look", n=7), call("2", "look", n=7))))
    assert counted.seen == [7, 7]
    assert [one.shared_with for one in outcomes] == [(), ()]


async def test_what_was_read_before_a_change_is_read_again_after_it() -> None:
    counted = Counted()
    tools = {"look": counted.tool(idempotent=True), "set": counted.tool("set", effect="write", idempotent=True)}
    calls = (call("1", "look", n=7), call("2", "set", n=1), call("3", "look", n=7), call("4", "look", n=7))
    async with Executor(tools) as executor:
        outcomes = await executor.run(Plan(calls))
    assert counted.seen == [7, 1, 7]
    assert [bool(one.shared_with) for one in outcomes] == [False, False, True, True]
    assert outcomes[2].shared_with == ("p1/4",)


async def test_setting_back_what_another_change_has_set_is_done() -> None:
    counted = Counted()
    tools = {"set": counted.tool("set", effect="write", idempotent=True)}
    async with Executor(tools) as executor:
        await executor.run(Plan(tuple(call(str(id), "set", n=n) for id, n in enumerate((1, 1, 2, 1)))))
    assert counted.seen == [1, 2, 1]


async def test_each_sharer_is_shown_as_much_as_its_own_policy_says() -> None:
    counted = Counted()
    tools = {"look": counted.tool(idempotent=True)}
    short = PlannedCall("2", "look", {"n": 7}, policy=CallPolicy(max_result_chars=4))
    async with Executor(tools) as executor:
        outcomes = await executor.run(Plan((call("1", "look", n=7), short)))
    assert [one.text for one in outcomes] == ["seen 7", "seen\n[cut: 2 more characters of result p1/2]"]
    assert [one.value for one in outcomes] == ["seen 7"] * 2


async def test_a_shared_call_is_approved_once() -> None:
    counted, approvals = Counted(), Approvals()
    tools = {"look": counted.tool(idempotent=True, policy=CallPolicy(approval=True))}
    with anyio.fail_after(BOUND_S):
        async with Executor(tools, approver=approvals) as executor, executor.plan("p") as running:
            running.add(call("1", "look", n=7))
            running.add(call("2", "look", n=7))
            await anyio.wait_all_tasks_blocked()
            assert [one.call for one in approvals.pending] == ["1"]
            approvals.decide("p", "1", Decision(False))
            running.close()
            outcomes = await running.results()
    assert [one.state for one in outcomes] == ["rejected", "rejected"]
    assert counted.seen == []


async def test_a_shared_result_may_be_referred_to() -> None:
    counted = Counted()

    def upper(text: str) -> str:
        """The text in capitals."""
        return text.upper()

    tools = {"look": counted.tool(idempotent=True), "upper": Tool.from_function(upper)}
    calls = (call("1", "look", n=7), call("2", "look", n=7), call("3", "upper", text=Ref("2")))
    events: list[Event] = []
    async with Executor(tools, on_event=events.append) as executor:
        outcomes = await executor.run(Plan(calls))
    assert outcomes[2].value == "SEEN 7"
    assert len([one for one in events if isinstance(one, Finished)]) == 3
