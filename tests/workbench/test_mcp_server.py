"""`workbench mcp`, used by our own client and by the package's, over stdio and HTTP; runs on the embedded model."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

from toolsets.executor import Event, Executor, Progress
from toolsets.fronts import parse
from toolsets.mcp import HttpServer, McpServers, StdioServer
from toolsets.results import CallOutcome
from toolsets.tool import Tool
from workbench.errors import UsageError
from workbench.log import RunLog
from workbench.mcp_command import mcp
from workbench.mcp_server import make_server

WORKBENCH = str(Path(sys.executable).with_name("workbench"))
TASK = "1. What is the gcd of 84 and 126?"
BOUND_S = 280


def environment(data: Path) -> dict[str, str]:
    return {"WORKBENCH_DATA_DIR": str(data), "HF_HUB_OFFLINE": "1"}


def called(servers: McpServers, text: str, events: list[Event] | None = None) -> tuple[CallOutcome, ...]:
    plan, unread = parse(text)
    assert not unread

    async def main() -> tuple[CallOutcome, ...]:
        heard = None if events is None else events.append
        with anyio.fail_after(BOUND_S):
            async with Executor(servers.tools, on_event=heard) as executor:
                return await executor.run(plan)

    return anyio.run(main)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def bench(data: Path) -> Iterator[McpServers]:
    """The workbench as an agent sees it: a server, started by a command."""
    with McpServers({"bench": StdioServer("bench", WORKBENCH, ("mcp",), environment(data))}) as servers:
        yield servers


def test_another_agent_starts_a_run_waits_for_it_and_reads_its_answer(bench: McpServers) -> None:
    events: list[Event] = []
    text = f"1. bench_start_run(task={TASK!r}, workers=1)\n2. bench_wait_run(run=$1.run)\n3. bench_list_runs()"
    started, waited, listed = called(bench, text, events)
    assert waited.succeeded, waited.text
    assert waited.value["status"] == "solved"
    assert waited.value["items"][0]["answer"] == "42"
    assert any(isinstance(event, Progress) and event.done > 0 for event in events)
    assert [run["run"] for run in listed.value][-1] == started.value["run"]

    (answer,) = called(bench, f"1. bench_run_answer(run={started.value['run'][:12]!r})")
    assert answer.value["answer"] == waited.value["answer"]
    (stopped,) = called(bench, f"1. bench_stop_run(run={started.value['run']!r})")
    assert stopped.value["status"] == "solved", "a run that has ended stays as it ended"


def test_a_run_that_is_not_there_is_refused_in_one_sentence(bench: McpServers) -> None:
    (outcome,) = called(bench, "1. bench_run_status(run='nope')")
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("There is no run 'nope'")


def test_the_standard_tools_are_served_with_their_types_and_effects(bench: McpServers) -> None:
    tools = bench.tools
    assert tools["bench_gcd"].signature() == "bench_gcd(a: int, b: int)"
    assert (tools["bench_gcd"].effect, tools["bench_gcd"].idempotent) == ("read", True)
    assert (tools["bench_start_run"].effect, tools["bench_start_run"].policy.approval) == ("write", None)
    outcomes = called(
        bench,
        "1. bench_gcd(a=84, b=126)\n2. bench_add(a=$1, b=0.5)\n3. bench_divide(a=1, b=0)\n"
        "4. bench_add_days(day='2024-02-28', days=2)",
    )
    assert [one.value for one in outcomes] == [42, 42.5, None, "2024-03-01"]
    assert "Division by zero" in outcomes[2].text


def test_the_events_of_a_run_are_a_resource(data: Path) -> None:
    parameters = StdioServerParameters(command=WORKBENCH, args=["mcp", "--tools", "none"], env=environment(data))

    async def main() -> tuple[Any, Any, list[str]]:
        with anyio.fail_after(BOUND_S):
            async with Client(parameters) as client:
                listed = (await client.list_resources()).resources
                read = await client.read_resource(listed[0].uri)
                with pytest.raises(MCPError, match="There is no run"):
                    await client.read_resource("workbench://runs/nope")
                tools = (await client.list_tools()).tools
                return listed[0], read.contents[0], [tool.name for tool in tools]

    resource, content, tools = anyio.run(main)
    assert TASK in resource.description
    kinds = [json.loads(line)["kind"] for line in content.text.splitlines()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert "gcd" not in tools


def test_it_is_served_on_a_port_of_this_machine(data: Path) -> None:
    command = [WORKBENCH, "mcp", "--http", "0", "--tools", "builtin", "--no-runs"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(data))
    try:
        assert child.stderr is not None
        address = child.stderr.readline().removeprefix("workbench: ").strip()
        assert address.startswith("http://127.0.0.1:")
        with McpServers({"web": HttpServer("web", address)}) as servers:
            (outcome,) = called(servers, "1. web_gcd(a=84, b=126)")
            assert outcome.value == 42
    finally:
        child.kill()
        child.wait(30)


def test_its_output_holds_nothing_but_the_protocol_and_its_end_is_the_end_of_the_input(data: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    done = subprocess.run(
        [WORKBENCH, "mcp"],
        input=json.dumps(hello) + "\n",
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        env=environment(data),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["result"]["serverInfo"]["name"] == "workbench"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"tools": "all"}, "give standard, builtin or none"), ({"tools": "none", "runs": False}, "nothing to serve")],
)
def test_a_wrong_request_is_refused_before_anything_is_served(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        mcp(**{"http": None, "tools": "standard", "runs": True, **options})


def test_what_an_own_function_returns_is_served_as_json_has_it(data: Path) -> None:
    def odd() -> Any:
        """Odd values."""
        return {"n": np.int64(3), "set": {10, 9}, "far": float("inf"), "half": "\ud800"}

    server = make_server({"odd": Tool.from_function(odd)}, lambda: RunLog(data / "runs.sqlite3"))
    with McpServers(in_process={"own": server}) as servers:
        (outcome,) = called(servers, "1. own_odd()")
    assert outcome.value == {"n": 3, "set": [9, 10], "far": "infinity", "half": "\ufffd"}
