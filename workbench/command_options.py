"""Options and arguments that several commands have, each under one name and with one help.

In: nothing. Out: types for the signatures of commands. Neighbours: the files `*_command.py` and `*_commands.py`.
"""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON value instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Model = Annotated[str, typer.Option("--model", "-m", help="embedded, a model directory, or a hub id.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: layers over all GPUs.")]
TensorParallel = Annotated[
    int, typer.Option(metavar="N", help="Share the model out among N processes, one for each GPU.")
]
Layout = Annotated[str, typer.Option(help="contiguous, interleaved, combined or independent.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins.")]
RunIds = Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs, by default all solved.")]
Mcp = Annotated[Path | None, typer.Option("--mcp", help="Offer the tools of the MCP servers in this file too.")]
OnFailure = Annotated[
    str | None, typer.Option(help="After a failed call: skip what needs it, pass it the error, or stop its plan.")
]
BreakBefore = Annotated[
    list[str] | None, typer.Option("--break-before", metavar="TOOL", help='Pause before a call of it; "*": of any.')
]
BreakAtStep = Annotated[
    list[int] | None, typer.Option("--break-at-step", metavar="N", help="Pause once that step is done.")
]
BreakOn = Annotated[
    list[str] | None,
    typer.Option("--break-on", metavar="TEXT", help="Pause when a worker writes it; /.../: a pattern."),
]
BreakAtEnd = Annotated[bool, typer.Option("--break-at-end", help="Pause when a worker has ended its turn.")]
Endpoint = Annotated[str | None, typer.Option(help="The URL of a chat endpoint, such as https://host/v1.")]
EndpointModel = Annotated[str | None, typer.Option("--model", "-m", help="Which model of the endpoint.")]
