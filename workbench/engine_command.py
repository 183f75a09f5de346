"""`workbench engine`: the engine's own process, in this terminal; or how the one in the background is, or its end.

In: a model. Out: an engine until Ctrl-C or SIGTERM, or a line about one. Neighbours: `engine.service` is the process,
`engine.client` asks it; `cli` registers this.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from workbench.command_options import Device, Model, TensorParallel
from workbench.engine.client import EngineClient
from workbench.engine.service import IDLE_S, serve
from workbench.models import EMBEDDED


def engine(
    model: Model = EMBEDDED,
    device: Device = "cpu",
    tensor_parallel: TensorParallel = 1,
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
