"""Plain functions in threads of our own, and the executor for programs without an event loop."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from toolsets.executor import (
    ApprovalAsked,
    Decision,
    Event,
    Executor,
    ExecutorError,
    ExecutorThread,
    Finished,
    Output,
    report_output,
    report_stop,
)
from toolsets.executor.threads import MAX_STUCK
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.policy import CallPolicy
from toolsets.tool import Tool

BOUND_S = 20
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def call(id: str, tool: str, **arguments: Any) -> PlannedCall:
    return PlannedCall(id, tool, arguments)


def made(function: Callable[..., Any], **declared: Any) -> Tool:
    function.__doc__ = "Whatever."
    return Tool.from_function(function, **declared)


class Hanging:
    """A plain function that returns when the test says so, and tells when it did."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def tool(self, **declared: Any) -> Tool:
        def hang(n: int = 0) -> int:
            self.threads.append(threading.current_thread())
            self.begun.set()
            self.free.wait(BOUND_S)
            report_output("too late")
            return n

        return made(hang, **declared)

    def end(self) -> None:
        self.free.set()
        for thread in self.threads:
            thread.join(BOUND_S)
            assert not thread.is_alive()


@BACKENDS
def test_a_plain_function_that_hangs_is_timed_out_and_left_behind(backend: str) -> None:
    hanging, events = Hanging(), list[Event]()

    async def main() -> None:
        tool = hanging.tool(policy=CallPolicy(timeout_s=0.01, retries=0), max_concurrent=1)
        with anyio.fail_after(BOUND_S):
            async with Executor({"hang": tool}, on_event=events.append) as executor:
                outcomes = await executor.run(Plan((call("1", "hang"), call("2", "hang"))))
        assert [one.state for one in outcomes] == ["timed_out", "timed_out"]

    anyio.run(main, backend=backend)
    told = len(events)
    hanging.end()
    assert len(events) == told


@BACKENDS
def test_a_plan_whose_function_hangs_can_be_cancelled(backend: str) -> None:
    hanging = Hanging()

    async def main() -> None:
        with anyio.fail_after(BOUND_S):
            async with Executor({"hang": hanging.tool()}) as executor, executor.plan() as running:
                running.add(call("1", "hang"))
                await anyio.to_thread.run_sync(hanging.begun.wait, BOUND_S)
                running.cancel()
                assert [one.state for one in await running.results()] == ["cancelled"]

    anyio.run(main, backend=backend)
    hanging.end()


@BACKENDS
@pytest.mark.parametrize("late", [False, True])
def test_a_plain_function_that_says_how_is_stopped_when_it_is_given_up(backend: str, late: bool) -> None:
    begun, given_up, stopped = threading.Event(), threading.Event(), threading.Event()

    def endless() -> None:
        begun.set()
        if late:
            given_up.wait(BOUND_S)
        report_stop(stopped.set)
        stopped.wait(BOUND_S)

    async def main() -> None:
        async with Executor({"endless": made(endless)}) as executor, executor.plan() as running:
            running.add(call("1", "endless"))
            while not begun.is_set():
                await anyio.sleep(0.001)
            running.cancel()
            given_up.set()

    anyio.run(main, backend=backend)
    assert stopped.wait(BOUND_S)


@BACKENDS
def test_what_an_attempt_says_after_it_was_given_up_is_not_heard(backend: str) -> None:
    tries: list[int] = []
    again, said = threading.Event(), threading.Event()
    events: list[Event] = []

    def talk() -> int:
        tries.append(1)
        if len(tries) == 1:
            again.wait(BOUND_S)
            report_output("too late")
            said.set()
        again.set()
        said.wait(BOUND_S)
        return 1

    async def main() -> None:
        tool = made(talk, policy=CallPolicy(timeout_s=0.05, retries=9, backoff_s=0.0))
        with anyio.fail_after(BOUND_S):
            async with Executor({"talk": tool}, on_event=events.append) as executor:
                (outcome,) = await executor.run(Plan((call("1", "talk"),)))
        assert outcome.succeeded

    anyio.run(main, backend=backend)
    assert said.is_set()
    assert not any(isinstance(event, Output) for event in events)


@BACKENDS
def test_no_thread_outlives_the_executor_once_its_function_has_returned(backend: str) -> None:
    used = set[threading.Thread]()

    def which(n: int) -> int:
        used.add(threading.current_thread())
        return n

    async def main() -> None:
        async with Executor({"which": made(which)}, max_concurrent=4) as executor:
            outcomes = await executor.run(Plan(tuple(call(str(n), "which", n=n) for n in range(100))))
        assert [one.value for one in outcomes] == list(range(100))

    anyio.run(main, backend=backend)
    assert 1 <= len(used) <= 4
    for thread in used:
        thread.join(BOUND_S)
        assert not thread.is_alive()


@BACKENDS
def test_a_process_ends_although_a_tool_never_does(backend: str) -> None:
    program = f"""
import anyio, threading
from toolsets.executor import Executor
from toolsets.plan import Plan, PlannedCall
from toolsets.policy import CallPolicy
from toolsets.tool import Tool

def hang() -> int:
    "Never returns."
    threading.Event().wait()

async def main():
    async with Executor({{"hang": Tool.from_function(hang, policy=CallPolicy(timeout_s=0.01, retries=0))}}) as executor:
        (outcome,) = await executor.run(Plan((PlannedCall("1", "hang", {{}}),)))
        print(outcome.state)

anyio.run(main, backend={backend!r})
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.strip() == "timed_out"


def test_when_too_many_functions_hang_no_more_are_started() -> None:
    hanging = Hanging()

    async def main() -> None:
        tool = hanging.tool(policy=CallPolicy(timeout_s=0.0, retries=0))
        async with Executor({"hang": tool}) as executor:
            outcomes = await executor.run(Plan(tuple(call(str(n), "hang", n=n) for n in range(MAX_STUCK))))
            outcomes += await executor.run(Plan((call("one more", "hang", n=MAX_STUCK),)))
        assert [one.state for one in outcomes] == ["timed_out"] * MAX_STUCK + ["failed"]
        assert (outcomes[-1].error or "").startswith(f"{MAX_STUCK} calls that were given up still run")

    anyio.run(main)
    hanging.end()


@BACKENDS
def test_a_plain_tool_may_run_an_event_loop_of_its_own(backend: str) -> None:
    async def inner() -> int:
        await anyio.lowlevel.checkpoint()
        return 7

    def outer() -> int:
        return anyio.run(inner)

    async def main() -> None:
        async with Executor({"outer": made(outer)}) as executor:
            (outcome,) = await executor.run(Plan((call("1", "outer"),)))
        assert outcome.text == "7"

    anyio.run(main, backend=backend)


# ------------------------------------------------------------------------------------------- without an event loop


def double(n: int) -> int:
    return 2 * n


class Heard:
    """Events as they come, and a way to wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._come = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._come:
            self.events.append(event)
            self._come.notify_all()

    def wait(self, kind: type, call: str) -> Event:
        def found() -> Event | None:
            return next((one for one in self.events if isinstance(one, kind) and one.call == call), None)  # type: ignore[attr-defined]

        with self._come:
            event = self._come.wait_for(found, BOUND_S)
        assert event is not None
        return event


def test_a_driver_submits_calls_from_any_thread_and_hears_of_their_ends() -> None:
    heard = Heard()
    with ExecutorThread({"double": made(double)}, on_event=heard) as executor:
        executor.submit("p", call("1", "double", n=1))
        executor.submit("p", call("2", "double", n=Ref("1")))
        finished = heard.wait(Finished, "2")
        assert isinstance(finished, Finished)
        assert finished.outcome.value == 4
        threads = [
            threading.Thread(target=executor.submit, args=("p", call(f"t{n}", "double", n=n))) for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND_S)
        executor.finish("p")
        outcomes = executor.wait("p", BOUND_S)
    assert len(outcomes) == 22
    assert all(one.succeeded for one in outcomes)


def test_cancelling_from_outside_gives_every_call_a_result_while_tools_still_hang() -> None:
    hanging = Hanging()
    with ExecutorThread({"hang": hanging.tool(max_concurrent=1)}) as executor:
        executor.submit("p", call("1", "hang"))
        executor.submit("p", call("2", "hang"))
        assert hanging.begun.wait(BOUND_S)
        executor.cancel("p")
        assert [one.state for one in executor.wait("p", BOUND_S)] == ["cancelled", "cancelled"]
        with pytest.raises(ExecutorError):
            executor.submit("p", call("3", "hang"))
    hanging.end()


def test_one_call_can_be_cancelled_from_outside() -> None:
    hanging = Hanging()
    with ExecutorThread({"hang": hanging.tool(), "double": made(double)}) as executor:
        executor.submit("p", call("1", "hang"))
        executor.submit("p", call("2", "double", n=1))
        executor.cancel_call("p", "1")
        executor.finish("p")
        assert [one.state for one in executor.wait("p", BOUND_S)] == ["cancelled", "succeeded"]
    hanging.end()


def test_a_person_decides_from_another_thread() -> None:
    heard = Heard()
    tool = made(double, policy=CallPolicy(approval=True))
    with ExecutorThread({"double": tool}, on_event=heard) as executor:
        for id in ("1", "2"):
            executor.submit("p", call(id, "double", n=1))
            heard.wait(ApprovalAsked, id)
        executor.decide("p", "2", Decision(False, "Not today."))
        executor.decide("p", "1", Decision(True))
        executor.finish("p")
        outcomes = executor.wait("p", BOUND_S)
    assert [one.state for one in outcomes] == ["succeeded", "rejected"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_persons_word_about_the_second_of_two_identical_calls_counts(gone: bool) -> None:
    heard, ran = Heard(), list[int]()

    def look(n: int) -> int:
        ran.append(n)
        return n

    tool = made(look, idempotent=True, policy=CallPolicy(approval=True))
    with ExecutorThread({"look": tool}, on_event=heard) as executor:
        for plan, id in (("a", "1"), ("b", "2")):
            executor.submit(plan, call(id, "look", n=1))
            heard.wait(ApprovalAsked, id)
            executor.finish(plan)
        if gone:
            executor.cancel_call("a", "1")
        executor.decide("b", "2", Decision(gone, "Not today."))
        # A word that comes after another one changes nothing.
        executor.decide("a", "1", Decision(True))
        states = [one.state for plan in "ab" for one in executor.wait(plan, BOUND_S)]
    assert (states, ran) == ((["not_executed", "succeeded"], [1]) if gone else (["rejected", "rejected"], []))


def test_closing_ends_every_call_and_the_thread_whatever_still_hangs() -> None:
    hanging, heard = Hanging(), Heard()
    executor = ExecutorThread({"hang": hanging.tool()}, on_event=heard)
    executor.submit("p", call("1", "hang"))
    executor.submit("p", call("2", "hang", n=Ref("1")))
    assert hanging.begun.wait(BOUND_S)
    assert executor.close(BOUND_S)
    assert executor.close(BOUND_S)
    assert [one.outcome.state for one in heard.events if isinstance(one, Finished)] == ["cancelled", "cancelled"]
    assert [one.state for one in executor.wait("p", 0)] == ["cancelled", "cancelled"]
    for use in (lambda: executor.submit("q", call("1", "hang")), lambda: executor.finish("p")):
        with pytest.raises(ExecutorError, match="closed"):
            use()
    hanging.end()


def test_closing_is_bounded_even_where_an_async_tool_blocks_the_loop() -> None:
    begun, free = threading.Event(), threading.Event()

    async def block() -> int:
        begun.set()
        free.wait(BOUND_S)
        return 1

    executor = ExecutorThread({"block": made(block)})
    executor.submit("p", call("1", "block"))
    assert begun.wait(BOUND_S)
    assert not executor.close(0.01)
    free.set()
    assert executor.close(BOUND_S)


def test_wrong_use_from_outside_is_refused_with_a_sentence() -> None:
    with ExecutorThread({"double": made(double)}) as executor:
        executor.submit("p", call("1", "double", n=1))
        with pytest.raises(ExecutorError, match="another id"):
            executor.submit("p", call("1", "double", n=1))
        with pytest.raises(ExecutorError, match="another id"):
            executor.open("p")
        with pytest.raises(ExecutorError, match="no plan"):
            executor.cancel("none")
        with pytest.raises(TimeoutError):
            executor.wait("p", 0)
