"""`workbench mcp`: serve tools and runs to other agents, on the input and output or on a port.

In: options. Out: nothing of our own on the standard output, which belongs to the protocol; addresses and errors go to
the error output. Neighbours: `mcp_server` and `mcp_runs` do the work, `cli` registers this.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated

import typer

from workbench.command_options import Model
from workbench.errors import UsageError
from workbench.models import EMBEDDED


def mcp(
    http: Annotated[
        int | None, typer.Option(min=0, max=65535, help="A port of this machine instead of stdio; 0 for a free one.")
    ] = None,
    model: Model = EMBEDDED,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    tools: Annotated[str, typer.Option(help="Served beside the runs: standard, builtin, or none.")] = "standard",
    runs: Annotated[bool, typer.Option(help="Serve runs.")] = True,
) -> None:
    """Serve the workbench's tools and runs to other agents, as an MCP server."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("Serving needs the package mcp: install agent-workbench[mcp].")
    if tools not in ("standard", "builtin", "none"):
        raise UsageError(f"--tools is {tools!r}: give standard, builtin or none.")
    if tools == "none" and not runs:
        raise UsageError("There is nothing to serve: leave out --no-runs, or name some tools.")
    import anyio

    from toolsets.builtin import BUILTINS
    from toolsets.standard import STANDARD
    from workbench.log import RunLog
    from workbench.mcp_runs import RunTools
    from workbench.mcp_server import make_server, serve_http, serve_stdio
    from workbench.session import Workbench

    served = dict({"standard": STANDARD, "builtin": BUILTINS, "none": {}}[tools])
    own = RunTools(lambda: Workbench(model, device=device, approve="none"), RunLog())
    server = make_server({**served, **(own.tools() if runs else {})}, RunLog)
    try:
        if http is None:
            anyio.run(serve_stdio, server)
        else:
            anyio.run(serve_http, server, http, lambda address: print(f"workbench: {address}", file=sys.stderr))
    finally:
        own.close()
