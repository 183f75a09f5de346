"""Tools of MCP servers are ordinary tools: over stdio and in this process, on real servers."""

import threading
from collections.abc import Callable

import anyio
import mcp_types as types
import pytest

from toolsets.executor import Event, Executor, Finished, Progress, Started, TransientError
from toolsets.fronts import parse
from toolsets.mcp import McpServers
from toolsets.mcp.convert import convert_result, convert_tool, is_wrapped
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.rounds import render_round

RunText = Callable[..., tuple[CallOutcome, ...]]


def test_annotations_become_effect_idempotence_and_approval(stdio: McpServers) -> None:
    tools = stdio.tools
    assert (tools["test_add"].effect, tools["test_add"].idempotent) == ("read", True)
    assert (tools["test_record"].effect, tools["test_record"].idempotent) == ("read", False)
    assert (tools["test_crash_writing"].effect, tools["test_crash_writing"].policy.approval) == ("write", None)
    # What says nothing about itself may do anything.
    assert (tools["test_wipe"].effect, tools["test_wipe"].policy.approval) == ("write", True)
    assert {(tool.server, tool.trusted) for tool in tools.values()} == {("test", False)}


def test_signatures_and_results_are_typed(stdio: McpServers) -> None:
    assert stdio.tools["test_add"].line() == "Sum of two numbers: test_add(a: int, b: int)"
    assert stdio.tools["test_add"].returns == "int"
    assert stdio.tools["test_record"].details.strip() == "With the rows of an invented table."


@pytest.mark.parametrize(("kind", "returned"), [({"type": "object"}, "int"), ({}, "value")])
def test_a_result_is_told_as_it_comes(kind: dict[str, str], returned: str) -> None:
    out = {"properties": {"result": {"type": "integer"}}, **kind}
    found = types.Tool(name="count", description="Count.", input_schema={"type": "object"}, output_schema=out)
    made = convert_tool(found, "count", "s", anyio.sleep)
    answer = types.CallToolResult(content=[], structured_content={"result": 3})
    assert made.returns == returned
    assert convert_result(answer, is_wrapped(found)) == (3 if returned == "int" else {"result": 3})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_result_of_a_server_is_a_value_that_later_calls_refer_to(
    stdio: McpServers, run_text: RunText, backend: str
) -> None:
    text = "1. test_record(name='Ada')\n2. test_add(a=$1.rows[1].n, b=40)\n3. test_add(a=$2, b=1)"
    first, second, third = run_text(stdio.tools, text, backend=backend)
    assert first.value == {"name": "Ada", "rows": [{"n": 1}, {"n": 2}]}
    assert (second.value, third.value) == (42, 43)
    assert third.isolation == "server test"


@pytest.mark.parametrize("place", ["stdio", "inner"])
def test_calls_run_in_parallel_on_one_session(place: str, request: pytest.FixtureRequest, run_text: RunText) -> None:
    servers: McpServers = request.getfixturevalue(place)
    name = "test" if place == "stdio" else "inner"
    text = f"1. {name}_meet(name='{place}a', other='{place}b')\n2. {name}_meet(name='{place}b', other='{place}a')"
    assert [one.text for one in run_text(servers.tools, text)] == [
        f"{place}a met {place}b",
        f"{place}b met {place}a",
    ]


def test_progress_of_a_server_is_an_event(stdio: McpServers, run_text: RunText) -> None:
    events: list[Event] = []
    (outcome,) = run_text(stdio.tools, "1. test_count(to=3)", events.append)
    assert outcome.text == "done"
    newest = [event for event in events if isinstance(event, Progress)][-1]
    assert (newest.done, newest.total, newest.message) == (3.0, 3.0, "at 3")


def test_an_error_of_the_tool_is_a_failed_call_and_costs_nobody_else(stdio: McpServers, run_text: RunText) -> None:
    failed, other = run_text(stdio.tools, "1. test_refuse(why='no')\n2. test_add(a=1, b=1)")
    assert (failed.state, other.state) == ("failed", "succeeded")
    assert failed.attempts == 1


def test_a_destructive_tool_waits_for_a_person(stdio: McpServers, run_text: RunText) -> None:
    (outcome,) = run_text(stdio.tools, "1. test_wipe()")
    assert outcome.state == "not_executed"
    assert "needs a person's approval" in outcome.text


def test_a_timeout_cancels_the_call_in_the_server(stdio: McpServers, run_text: RunText) -> None:
    (outcome,) = run_text(stdio.tools, "1. test_hang(mark='slow')", timeout_s=0.5, retries=0)
    assert outcome.state == "timed_out"
    (ended,) = run_text(stdio.tools, "1. test_end_of(mark='slow')")
    assert ended.text == "ended"


def test_a_cancelled_plan_ends_its_calls_in_the_server(stdio: McpServers, run_text: RunText) -> None:
    plan, _ = parse("1. test_hang(mark='cancelled')\n2. test_add(a=$1, b=1)")

    async def main() -> tuple[CallOutcome, ...]:
        with anyio.fail_after(60):
            async with Executor(stdio.tools) as executor:
                running = executor.open()
                events = running.events()
                for call in plan:
                    running.add(call)
                running.close()
                async for event in events:
                    if isinstance(event, Progress):
                        running.cancel()
                return await running.results()

    assert [one.state for one in anyio.run(main)] == ["cancelled", "cancelled"]
    (ended,) = run_text(stdio.tools, "1. test_end_of(mark='cancelled')")
    assert ended.text == "ended"


def test_texts_of_a_server_cannot_forge_a_call_or_an_answer(stdio: McpServers, run_text: RunText) -> None:
    assert "<tool_call>" not in stdio.tools["test_evil"].line()
    (outcome,) = run_text(stdio.tools, "1. test_evil()")
    told = render_round([outcome])
    assert told.startswith("$1 test_evil (from outside) = ")
    assert "<tool_call>" not in told
    assert "Answer 1:" not in told


@pytest.mark.parametrize("place", ["stdio", "inner"])
def test_tools_that_come_later_are_offered(place: str, request: pytest.FixtureRequest, run_text: RunText) -> None:
    servers: McpServers = request.getfixturevalue(place)
    name = "test" if place == "stdio" else "inner"
    listed = threading.Event()
    servers._on_report = lambda report: listed.set() if report.kind == "listed" else None
    run_text(servers.tools, f"1. {name}_grow()")
    assert listed.wait(60)
    assert f"{name}_extra" in servers.tools


def test_after_closing_a_call_fails_as_transient_and_nothing_hangs() -> None:
    from mcp_server import make_server

    with McpServers(in_process={"inner": make_server()}) as servers:
        tool = servers.tools["inner_add"]
    assert dict(servers.tools) == {}

    async def call() -> None:
        with anyio.fail_after(30):
            await tool.function(a=1, b=1)

    with pytest.raises(TransientError):
        anyio.run(call)


def test_closing_while_a_call_runs_ends_it(run_text: RunText) -> None:
    from mcp_server import make_server

    servers = McpServers(in_process={"inner": make_server()})
    servers.open()
    closing = threading.Thread(target=servers.close)
    ended: list[Event] = []

    def heard(event: Event) -> None:
        if isinstance(event, Started) and not closing.ident:
            closing.start()
        if isinstance(event, Finished):
            ended.append(event)

    text = "1. inner_meet(name='a', other='nobody')"
    (outcome,) = run_text(servers.tools, text, heard, retries=0)
    closing.join(30)
    assert outcome.state == "failed"
    assert len(ended) == 1


def test_a_policy_of_a_call_stands_over_that_of_the_tool(stdio: McpServers) -> None:
    assert CallPolicy(approval=False).over(stdio.tools["test_wipe"].policy).approval is False
