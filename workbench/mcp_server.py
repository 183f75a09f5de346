"""`workbench mcp`: the workbench's own tools, and its runs, served to other agents by the Model Context Protocol.

In: tools by name (`standard`, `mcp_runs`), the run log. Out: a server of the package `mcp`, on this process's input and
output or on a port of this machine. Each call goes through an executor, so it has a timeout, is cancelled when its
caller cancels it, and tells its progress. Events of runs are resources, `workbench://runs/ID`, one JSON object a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from toolsets.damaged import well_formed
from toolsets.executor import Executor, Progress
from toolsets.plan import PlannedCall
from toolsets.policy import CallPolicy
from toolsets.rendering import render_result, told_as
from toolsets.results import CallOutcome
from toolsets.tool import Tool
from workbench.errors import UsageError, WorkbenchError
from workbench.event_json import to_json
from workbench.log import RunLog
from workbench.visible import one_line

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server import Server, ServerRequestContext

HOST: Final = "127.0.0.1"
SCHEME: Final = "workbench://runs/"
MAX_RESULT_CHARS: Final = 1_000_000
LISTED: Final = 100
INSTRUCTIONS: Final = (
    "Tools to compute with, and runs: several workers of a language model that think at once in one shared cache. "
    "start_run starts one, wait_run waits for its answer."
)


def make_server(tools: Mapping[str, Tool], log: Callable[[], RunLog]) -> Server[Any]:
    """A server that offers these tools, and the runs of the log as resources."""
    import mcp_types as types
    from mcp.server import Server

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in tools.values()])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def progress(event: Progress) -> None:
            await context.session.report_progress(event.done, event.total, event.message)

        return _result(await _called(tools, params.name, params.arguments or {}, progress))

    async def list_resources(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        found = await anyio.to_thread.run_sync(lambda: log().runs()[:LISTED])
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=f"{SCHEME}{one.run_id}",
                    name=one.run_id,
                    description=f"{one.status}: {one_line(one.task, 100)}",
                    mime_type="application/jsonl",
                )
                for one in found
            ]
        )

    async def read_resource(
        context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        text = await anyio.to_thread.run_sync(_events_text, log, uri)
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type="application/jsonl", text=text)]
        )

    return Server(
        "workbench",
        version=version("agent-workbench"),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


async def serve_stdio(server: Server[Any]) -> None:
    """Until the other side closes. Whatever else is printed goes to the error output."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def serve_http(server: Server[Any], port: int, told: Callable[[str], object]) -> None:
    """On this machine only, until cancelled. port: 0 for a free one. told: called with the address.

    Raises UsageError where the port is taken.
    """
    import socket

    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used ({error.strerror}): name another one, or 0 for any."
            ) from error
        told(f"http://{HOST}:{listening.getsockname()[1]}/mcp")
        # Names of this machine only are accepted as Host, so that no web page can reach it by a name of its own.
        app = server.streamable_http_app(host=HOST)
        web = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        await web.serve(sockets=[listening])


async def _called(tools: Mapping[str, Tool], name: str, arguments: Mapping[str, Any], progress: Any) -> CallOutcome:
    """One call, in an executor of its own: a long-lived server keeps nothing of it."""
    defaults = CallPolicy(max_result_chars=MAX_RESULT_CHARS)
    async with Executor(tools, defaults=defaults) as executor, executor.plan() as running:
        events = running.events()
        running.add(PlannedCall("1", name, arguments))
        running.close()
        async for event in events:
            if isinstance(event, Progress):
                await progress(event)
    return running.outcomes[0]


def _described(tool: Tool) -> types.Tool:
    import mcp_types as types

    description = f"{tool.description}.\n\n{tool.details}".strip() if tool.details else f"{tool.description}."
    notes = types.ToolAnnotations(
        read_only_hint=tool.effect == "read",
        destructive_hint=False,
        idempotent_hint=tool.idempotent,
        open_world_hint=False,
    )
    # A result that is no record stands in one: older versions of the protocol have nothing else.
    returned = {"type": "object", "properties": {"result": {}}, "required": ["result"]}
    return types.Tool(
        name=tool.name,
        description=description,
        input_schema=dict(tool.parameters),
        output_schema=returned,
        annotations=notes,
    )


def _result(outcome: CallOutcome) -> types.CallToolResult:
    import mcp_types as types

    text = outcome.text if outcome.succeeded else outcome.error or outcome.text
    content: list[Any] = [types.TextContent(type="text", text=text)]
    if not outcome.succeeded:
        return types.CallToolResult(content=content, is_error=True)
    return types.CallToolResult(content=content, structured_content={"result": _plain(outcome.value)})


def _plain(value: Any) -> Any:
    """A value that JSON can tell; what it cannot stands as the text that a worker would read."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return well_formed(value)
    if value is None or isinstance(value, bool):
        return value
    if (plain := told_as(value)) is not value:
        return _plain(plain)
    if isinstance(value, int | float) and abs(value) < 2**53:  # neither infinite nor no number, and exact
        return value
    return render_result(value)


def _events_text(log: Callable[[], RunLog], uri: str) -> str:
    from mcp import MCPError
    from mcp_types import INVALID_PARAMS

    if not uri.startswith(SCHEME):
        raise MCPError(INVALID_PARAMS, f"There is no resource {uri!r}: name a run, {SCHEME}ID.")
    try:
        kept = log()
        events = kept.events(kept.find(uri.removeprefix(SCHEME)))
    except WorkbenchError as error:
        raise MCPError(INVALID_PARAMS, str(error)) from error
    return "".join(json.dumps(to_json(event), ensure_ascii=False) + "\n" for event in events)
