"""What the policies say is done: retries, caps, barriers, approval by a person, sizes of results."""

import math
from dataclasses import replace
from typing import Any

import anyio
import pytest
import trio
from staged_tools import BOUND_S, DOUBLE, Stage, call, executing, half, made, states
from trio.testing import MockClock

from toolsets.errors import PolicyError
from toolsets.executor import (
    ApprovalAsked,
    Approvals,
    Approved,
    AttemptFailed,
    Decision,
    Event,
    Executor,
    Finished,
    Planned,
    Rejected,
    Started,
    TransientError,
)
from toolsets.plan import Plan, Ref
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.tool import Tool

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ------------------------------------------------------------------------------------------------------------- retries


def retrying(errors: list[BaseException], **declared: Any) -> tuple[Tool, list[int]]:
    tries: list[int] = []

    async def shaky() -> str:
        tries.append(len(tries) + 1)
        if errors:
            raise errors.pop(0)
        return "done"

    return made(shaky, **declared), tries


def run_on_clock(tool: Tool, policy: CallPolicy | None = None) -> tuple[CallOutcome, list[Event]]:
    """One call on a clock that jumps to whatever is next."""
    events: list[Event] = []

    async def main() -> CallOutcome:
        async with Executor({tool.name: tool}, on_event=events.append, jitter=lambda: 1.0) as executor:
            (outcome,) = await executor.run(Plan((call("1", tool.name, policy=policy),)))
            return outcome

    return trio.run(main, clock=MockClock(autojump_threshold=0)), events


@pytest.mark.parametrize(
    "error",
    [
        TransientError("The server restarts."),
        ConnectionResetError(),
        TimeoutError(),
        ExceptionGroup("all", [TransientError("x"), ConnectionError()]),
    ],
)
def test_a_transient_error_is_tried_again_after_a_wait_that_doubles(error: Exception) -> None:
    tool, tries = retrying([error, error, error])
    outcome, events = run_on_clock(tool, CallPolicy(retries=3, backoff_s=2.0))
    assert (outcome.state, outcome.value, outcome.attempts, tries) == ("succeeded", "done", 4, [1, 2, 3, 4])
    assert [one.retry_in_s for one in events if isinstance(one, AttemptFailed)] == [2.0, 4.0, 8.0]
    assert outcome.wall_s == pytest.approx(14.0)


def test_retries_run_out() -> None:
    tool, tries = retrying([ConnectionError("gone")] * 9)
    outcome, _ = run_on_clock(tool, CallPolicy(retries=2))
    assert (outcome.state, outcome.error, len(tries)) == ("failed", "shaky broke with ConnectionError: gone", 3)


def test_an_error_that_will_not_pass_is_not_tried_again() -> None:
    tool, tries = retrying([ValueError("No.")])
    outcome, _ = run_on_clock(tool, CallPolicy(retries=5))
    assert (outcome.state, outcome.error, len(tries)) == ("failed", "No.", 1)


@pytest.mark.parametrize(
    ("error", "idempotent", "num_tries"),
    [(ConnectionError(), False, 1), (TransientError("x"), False, 2), (ConnectionError(), True, 2)],
)
def test_a_change_that_may_have_been_made_is_not_tried_again(
    error: Exception, idempotent: bool, num_tries: int
) -> None:
    tool, tries = retrying([error], effect="write", idempotent=idempotent)
    run_on_clock(tool, CallPolicy(retries=5))
    assert len(tries) == num_tries


@pytest.mark.parametrize(("effect", "num_tries"), [("read", 3), ("write", 1)])
def test_an_attempt_that_timed_out_is_repeated_only_where_that_is_harmless(effect: Any, num_tries: int) -> None:
    tries = []

    async def slow() -> int:
        tries.append(1)
        await anyio.sleep(100)
        return 1

    policy = CallPolicy(timeout_s=10, retries=2, backoff_s=1.0)
    outcome, _ = run_on_clock(made(slow, effect=effect), policy)
    assert (outcome.state, outcome.attempts, len(tries)) == ("timed_out", num_tries, num_tries)


async def test_while_a_call_waits_for_its_next_attempt_others_have_its_place() -> None:
    failed = anyio.Event()
    errors: list[BaseException] = [ConnectionError()]
    tool, tries = retrying(errors, policy=CallPolicy(backoff_s=0.001), max_concurrent=1)

    def heard(event: Event) -> None:
        if isinstance(event, AttemptFailed):
            failed.set()

    async with executing(tool, DOUBLE, max_concurrent=1, on_event=heard) as executor:
        outcomes = await executor.run(Plan((call("1", "shaky"), call("2", "double", n=4))))
    assert failed.is_set()
    assert [one.value for one in outcomes] == ["done", 8]
    assert len(tries) == 2


# --------------------------------------------------------------------------------------------------- caps and barriers


@pytest.mark.parametrize("cap", ["global", "tool", "server", "server of the tool"])
async def test_no_more_calls_run_at_one_time_than_a_cap_allows(cap: str) -> None:
    running, most = 0, 0
    full = anyio.Event()

    async def crowd(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()
        await anyio.lowlevel.checkpoint()
        running -= 1
        return n

    tool = made(crowd, max_concurrent=3 if cap == "tool" else None, server="far" if "server" in cap else None)
    if cap == "server of the tool":
        tool = replace(tool, server_cap=3)
    options = {"max_concurrent": 3} if cap == "global" else {"server_caps": {"far": 3}} if cap == "server" else {}
    async with executing(tool, **options) as executor:
        outcomes = await executor.run(Plan(tuple(call(str(n), "crowd", n=n) for n in range(20))))
    assert [one.value for one in outcomes] == list(range(20))
    assert most == 3


async def test_reads_run_together_and_a_write_alone_in_the_order_of_arrival() -> None:
    stage = Stage()
    write = Tool.from_function(stage.tool().function, effect="write")
    write = made(write.function, effect="write")
    tools = {"read": stage.tool(), "write": write}
    with anyio.fail_after(BOUND_S):
        async with Executor(tools) as executor, executor.plan() as running:
            for id, tool in (("r1", "read"), ("r2", "read"), ("w", "write"), ("r3", "read"), ("r4", "read")):
                running.add(call(id, tool, name=id))
            await stage.reached("r1")
            await stage.reached("r2")
            stage.release("r1")
            await anyio.wait_all_tasks_blocked()
            assert sorted(stage.order) == ["r1", "r2"]
            stage.release("r2")
            await stage.reached("w")
            await anyio.wait_all_tasks_blocked()
            assert stage.order[2:] == ["w"]
            stage.release("w")
            await stage.reached("r3")
            await stage.reached("r4")
            stage.release("r3", "r4")


async def test_a_write_of_one_plan_does_not_run_beside_a_read_of_another() -> None:
    stage = Stage()
    tools = {"read": stage.tool(), "write": stage.tool(effect="write")}
    with anyio.fail_after(BOUND_S):
        async with Executor(tools) as executor, executor.plan() as first, executor.plan() as second:
            first.add(call("1", "read", name="r"))
            await stage.reached("r")
            second.add(call("1", "write", name="w"))
            await anyio.wait_all_tasks_blocked()
            assert stage.order == ["r"]
            stage.release("r")
            await stage.reached("w")
            stage.release("w")


# ------------------------------------------------------------------------------------------------------------ approval

ASKING = CallPolicy(approval=True)


async def test_a_call_that_needs_approval_waits_for_a_person_and_holds_no_place() -> None:
    approvals, events = Approvals(), []
    tool = made(half, policy=ASKING)
    async with executing(tool, DOUBLE, approver=approvals, max_concurrent=1, on_event=events.append) as executor:
        async with executor.plan("p") as running:
            running.add(call("1", "double", n=2))
            running.add(call("2", "half", n=Ref("1")))
            running.add(call("3", "half", n=2))
            running.add(call("4", "double", n=5, after=("1",)))
            await anyio.wait_all_tasks_blocked()
            while len(approvals.pending) < 2 or len(running.outcomes) < 2:
                await anyio.wait_all_tasks_blocked()
            assert {one.call: one.arguments for one in approvals.pending} == {"3": {"n": 2}, "2": {"n": 4}}
            assert states(running.outcomes) == {"1": "succeeded", "4": "succeeded"}
            assert approvals.decide("p", "2", Decision(True, "Go."))
            assert not approvals.decide("p", "2", Decision(False))
            assert approvals.decide("p", "3", Decision(False, "Too dear."))
        assert states(running.outcomes) == dict.fromkeys("124", "succeeded") | {"3": "rejected"}
        assert running.outcomes[2].text == "rejected: A person said no: Too dear."
        assert [type(one) for one in events if one.call == "2"] == [Planned, ApprovalAsked, Approved, Started, Finished]
        assert [type(one) for one in events if one.call == "3"] == [Planned, ApprovalAsked, Rejected, Finished]


async def test_a_call_that_nobody_decided_about_was_not_executed() -> None:
    async def broken(asked: ApprovalAsked) -> Decision:
        raise RuntimeError("The window was closed.")

    tool = made(half, policy=ASKING)
    async with executing(tool) as executor:
        (outcome,) = await executor.run(Plan((call("1", "half", n=2),)))
        assert outcome.text == "not executed: It needs a person's approval, and nobody can be asked here."
    async with executing(tool, approver=broken) as executor:
        (outcome,) = await executor.run(Plan((call("1", "half", n=2),)))
        assert outcome.text == "not executed: Its approval broke off: The window was closed."
    approvals = Approvals()
    async with executing(tool, approver=approvals) as executor, executor.plan() as running:
        running.add(call("1", "half", n=2))
        await anyio.wait_all_tasks_blocked()
        assert approvals.pending
        running.cancel()
        assert states(running.outcomes) == {"1": "not_executed"}
        await anyio.wait_all_tasks_blocked()
        assert not approvals.pending


# -------------------------------------------------------------------------------------------------- sizes, shown texts


async def test_a_long_result_is_cut_for_the_worker_and_kept_whole() -> None:
    def long() -> str:
        return "0123456789" * 100

    def length(text: str) -> int:
        return len(text)

    async with executing(made(long, policy=CallPolicy(max_result_chars=25)), made(length)) as executor:
        outcome, counted = await executor.run(Plan((call("1", "long"), call("2", "length", text=Ref("1")))))
        assert outcome.text == "0123456789012345678901234\n[cut: 975 more characters of result p1/1]"
        assert (outcome.cut, outcome.num_chars, len(outcome.value)) == (True, 1000, 1000)
        assert executor.store.read("p1/1", 995).text == "56789"
        assert counted.value == 1000


async def test_a_long_error_is_cut_too() -> None:
    def chatty() -> int:
        raise ValueError("x" * 100_000)

    async with executing(made(chatty)) as executor:
        (outcome,) = await executor.run(Plan((call("1", "chatty"),)))
    assert len(outcome.text) < 3_000


@pytest.mark.parametrize(
    "bad",
    [
        {"timeout_s": -1}, {"timeout_s": math.nan}, {"timeout_s": "x"}, {"retries": -1}, {"retries": 1.5},
        {"retries": True}, {"backoff_s": -0.1}, {"backoff_s": math.nan}, {"max_result_chars": 0},
        {"max_result_chars": "x"}, {"on_failure": "hope"}, {"approval": "yes"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_policy_that_no_call_can_be_run_by_is_refused_when_it_is_made(bad: dict[str, Any]) -> None:
    """A time that is no number would end the whole plan, when its first call begins."""
    with pytest.raises(PolicyError) as refused:
        CallPolicy(**bad)
    assert next(iter(bad)) in str(refused.value)
