"""MCP servers for the tests of this folder: a real one as a child process, and the same in this process."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

sys.path.append(str(Path(__file__).parent))  # tests/ is no package, so the server is found by path

from mcp_server import make_server

from toolsets.executor import Event, Executor
from toolsets.fronts import parse
from toolsets.mcp import McpServers, Report, StdioServer
from toolsets.policy import CallPolicy
from toolsets.results import CallOutcome
from toolsets.tool import Tool

SERVER = Path(__file__).with_name("mcp_server.py")
BOUND_S = 120.0

RunText = Callable[..., tuple[CallOutcome, ...]]


@pytest.fixture(scope="session")
def stdio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServers]:
    """The server as a child process, one for all tests; it is named `test`."""
    state = tmp_path_factory.mktemp("state")
    config = StdioServer("test", sys.executable, (str(SERVER),), {"STATE": str(state)}, cwd=str(state))
    with McpServers({"test": config}) as servers:
        servers.state = state  # type: ignore[attr-defined]
        yield servers


@pytest.fixture
def inner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[McpServers]:
    """The same server in this process, named `inner`."""
    monkeypatch.setitem(os.environ, "STATE", str(tmp_path))
    with McpServers(in_process={"inner": make_server()}) as servers:
        yield servers


@pytest.fixture
def open_servers() -> Iterator[Callable[..., tuple[McpServers, list[Report]]]]:
    """open_servers(configs, **options): servers that are closed at the end, and the reports of them."""
    with ExitStack() as stack:

        def opened(*configs: StdioServer, **options: object) -> tuple[McpServers, list[Report]]:
            reports: list[Report] = []
            named = {config.name: config for config in configs}
            servers = McpServers(named, on_report=reports.append, **options)  # type: ignore[arg-type]
            return stack.enter_context(servers), reports

        yield opened


@pytest.fixture
def run_text() -> RunText:
    """run_text(tools, plan): the outcomes of a plan, written in any grammar, in an event loop of its own."""

    def run(
        tools: Mapping[str, Tool],
        text: str,
        on_event: Callable[[Event], object] | None = None,
        backend: str = "asyncio",
        **policy: object,
    ) -> tuple[CallOutcome, ...]:
        plan, unread = parse(text)
        assert not unread

        async def main() -> tuple[CallOutcome, ...]:
            defaults = CallPolicy(**policy)  # type: ignore[arg-type]
            with anyio.fail_after(BOUND_S):
                async with Executor(tools, defaults=defaults, on_event=on_event) as executor:
                    return await executor.run(plan)

        return anyio.run(main, backend=backend)

    return run
