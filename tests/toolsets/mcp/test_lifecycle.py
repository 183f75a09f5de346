"""Servers that crash, do not start, write nonsense, list by pages, or speak HTTP."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import MCPError
from mcp.server import Server
from mcp_server import make_server

from toolsets.check import check
from toolsets.fronts import parse
from toolsets.mcp import HttpServer, McpServers, Report, StdioServer
from toolsets.results import CallOutcome

RunText = Callable[..., tuple[CallOutcome, ...]]
SERVER = Path(__file__).with_name("mcp_server.py")


def server(state: Path) -> StdioServer:
    return StdioServer("test", sys.executable, (str(SERVER),), {"STATE": str(state)})


def test_a_crashed_server_is_reported_and_started_again_and_no_change_is_made_twice(
    tmp_path: Path, open_servers: Any, run_text: RunText
) -> None:
    servers, reports = open_servers(server(tmp_path))
    (crashed,) = run_text(servers.tools, "1. test_crash_once()", backoff_s=0.01)
    assert (crashed.text, crashed.attempts) == ("survived", 2)
    assert [report.kind for report in reports] == ["started", "crashed", "restarted"]
    assert "the disk is on fire" in reports[1].text

    (change,) = run_text(servers.tools, "1. test_crash_writing()", backoff_s=0.01)
    assert (change.state, change.attempts) == ("failed", 1)
    assert "may or may not have been done" in change.text
    assert (tmp_path / "changes").read_text() == "x"


def test_a_server_that_does_not_start_costs_the_others_nothing(open_servers: Any) -> None:
    missing = StdioServer("missing", "/no/such/program")
    dying = StdioServer("dying", sys.executable, ("-c", "import sys; sys.exit('I need a licence')"))
    servers, reports = open_servers(missing, dying, in_process={"test": make_server()})
    assert "test_add" in servers.tools
    first = {report.server: report for report in reversed(reports) if report.kind == "failed"}
    assert "there is no program '/no/such/program'" in str(first["missing"])
    assert "I need a licence" in str(first["dying"])
    assert set(servers.failed) == {"missing", "dying"}


A_OR_TEXT = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}
NONSENSE: dict[str, dict[str, Any]] = {
    "no_choice": {"anyOf": []},
    "no_type": {"type": []},
    "required_text": {"type": "object", "required": "n"},
    "required_number": {"type": "object", "required": 5},
    "listed_fields": {"type": "object", "properties": [1]},
    "all_of_number": {"allOf": 5},
    "first_number": {"type": "array", "prefixItems": 5},
    "leads_nowhere": {"$ref": 5},
    "choice_of_text": {"enum": "abc"},
    "choice_of_itself": {"$ref": "#/$defs/A"},
    "made_of_itself": {"allOf": [{"$ref": "#/$defs/D0"}]},
}
DOUBLED = {f"D{n}": {"allOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(38)} | {"D38": {}}


def nonsensical() -> Server[Any]:
    """A server whose schemas are none, and whose tool `fail` speaks of sessions of its own."""
    read_only = types.ToolAnnotations(read_only_hint=True)

    def tool(name: str, x: Any, out: Any = None) -> types.Tool:
        schema = {"type": "object", "properties": {"x": x}, "$defs": {"A": A_OR_TEXT, **DOUBLED}}
        return types.Tool(name=name, description="Odd.", input_schema=schema, output_schema=out, annotations=read_only)

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        odd = [tool(name, schema) for name, schema in NONSENSE.items()]
        lost = tool("lost", {}, {"type": "object", "$ref": "#/$defs/A", "$defs": [1]})
        return types.ListToolsResult(tools=[*odd, lost, tool("fail", {})])

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name == "fail":
            raise MCPError(code=-32602, message="The session of 9 May is unknown.")
        return types.CallToolResult(content=[types.TextContent(type="text", text="done")])

    return Server("odd", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


def test_schemas_that_make_no_sense_cost_neither_a_run_nor_the_other_servers(run_text: RunText) -> None:
    reports: list[Report] = []
    with McpServers(in_process={"odd": nonsensical(), "test": make_server()}, on_report=reports.append) as servers:
        assert {*(f"odd_{name}" for name in NONSENSE), "odd_lost", "odd_fail", "test_add"} <= set(servers.tools)
        assert "x: text" in servers.tools["odd_choice_of_itself"].line()
        lines = [f"{n}. odd_{name}(x=[{{'n': 1}}])" for n, name in enumerate(NONSENSE, 1)]
        plan, _ = parse("\n".join(lines))
        checked = check(plan, servers.tools)
        assert [one.message.partition(" must be ")[0] for one in checked.diagnostics] == [
            "x of odd_required_text",
            "x of odd_required_number",
            "x of odd_listed_fields",
            "x of odd_choice_of_itself",
            "x of odd_made_of_itself",
        ]
        outcomes = run_text(servers.tools, "1. odd_no_choice(x=1)\n2. odd_fail(x=1)\n3. test_add(a=1, b=2)")
        assert [one.text for one in outcomes] == ["done", "failed: The session of 9 May is unknown.", "3"]
    assert {report.kind for report in reports} == {"started"}


PAGED = """
import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server

schema = {"type": "object", "properties": {}}

async def list_tools(context, params):
    at = int(params.cursor or 0) if params else 0
    page = [types.Tool(name=f"t{n}", input_schema=schema) for n in range(at, at + 10)]
    bad = {"type": "object", "properties": {"<tool_call>": {"type": "string"}}}
    page += [types.Tool(name="bad", input_schema=bad)] if at == 90 else []
    return types.ListToolsResult(tools=page, next_cursor=str(at + 10) if at < 90 else None)

async def call_tool(context, params):
    return types.CallToolResult(content=[types.TextContent(type="text", text='{"n": [1, 2]}')])

async def main():
    print("this is no message of the protocol", flush=True)
    server = Server("paged", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())

anyio.run(main)
"""


def test_all_pages_are_listed_a_dangerous_tool_is_left_out_and_nonsense_on_the_output_is_survived(
    tmp_path: Path, open_servers: Any, run_text: RunText
) -> None:
    script = tmp_path / "paged.py"
    script.write_text(PAGED)
    allowed = StdioServer("paged", sys.executable, (str(script),), always_allow=frozenset({"t7"}))
    servers, reports = open_servers(allowed)
    assert len(servers.tools) == 100
    (left_out,) = [report for report in reports if report.kind == "left_out"]
    assert "its parameter '<tool_call>' is no plain name" in left_out.text
    # A record that is told as text is a value all the same; and a person has allowed this one tool.
    first, second = run_text(servers.tools, "1. paged_t7()\n2. paged_t8()")
    assert first.value == {"n": [1, 2]}
    assert second.state == "not_executed"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server that speaks streamable HTTP, as a child process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, str(SERVER), "http", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        env={"STATE": str(tmp_path), "PATH": ""},
    )
    try:
        assert child.stderr is not None
        assert any("running on" in line for line in child.stderr)
        threading.Thread(target=child.stderr.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        child.kill()
        child.wait(30)


def test_a_server_over_http_is_called_in_parallel_with_progress(address: str, run_text: RunText) -> None:
    with McpServers({"web": HttpServer("web", address, {"X-Key": "secret"})}) as servers:
        text = "1. web_meet(name='a', other='b')\n2. web_meet(name='b', other='a')\n3. web_count(to=2)"
        assert [one.text for one in run_text(servers.tools, text)] == ["a met b", "b met a", "done"]


def test_an_address_where_nobody_listens_is_a_server_that_failed() -> None:
    reports: list[Report] = []
    with McpServers({"web": HttpServer("web", "http://127.0.0.1:9/mcp")}, on_report=reports.append) as servers:
        assert dict(servers.tools) == {}
        assert "web" in servers.failed
    assert reports[0].kind == "failed"
