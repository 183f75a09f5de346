"""`workbench engine`: the engine's own process, in this terminal; or how the one in the background is, or its end.

In: a model. Out: an engine until Ctrl-C or SIGTERM, or a line about one. Neighbours: `engine.service` is the process,
`engine.client` asks it; `cli` registers this.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from workbench.engine.client import EngineClient
from workbench.engine.service import IDLE_S, serve
from workbench.models import EMBEDDED


def engine(
    model: Annotated[str, typer.Option("--model", "-m", help="embedded, a model directory, or a hub id.")] = EMBEDDED,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: layers over all GPUs.")] = "cpu",
    tensor_parallel: Annotated[
        int, typer.Option(metavar="N", help="Share the model out among N processes, one for each GPU.")
    ] = 1,
    status: Annotated[bool, typer.Option("--status", help="Say how the engine is, as JSON.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the engine; its runs are stopped.")] = False,
    idle_s: Annotated[float, typer.Option(help="End after so many seconds without a request.")] = IDLE_S,
) -> None:
    """Hold a model in a process of its own, for notebooks, JupyterLab and Workbench(engine="process")."""
    client = EngineClient(model)
    if stop:
        print(f"The engine for {model} is {client.stop()['state']}.")
    elif status:
        print(json.dumps(client.status()))
    else:
        serve(model, device=device, tensor_parallel=tensor_parallel, idle_s=idle_s)
