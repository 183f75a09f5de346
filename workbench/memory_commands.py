"""`workbench concepts learn`: the command line of learning concepts from runs.

In: what a person types. Out: what would change, and after a yes the change. Neighbours: `remembering` does the work,
`library_commands` has the other verbs, `cli` registers.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from workbench.errors import UsageError
from workbench.library_commands import AsJson, Yes, _propose, opened
from workbench.log import RunLog
from workbench.remembering import propose


def add_remembering(app: typer.Typer) -> None:
    """Put the verbs of learning onto the group of the concepts."""
    app.command("learn")(learn)


def learn(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs, by default all solved.")] = None,
    url: Annotated[str | None, typer.Option(help="A model's endpoint with the OpenAI protocol, to abstract.")] = None,
    chat_model: Annotated[str, typer.Option(help="Which model of the endpoint.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Propose concepts: what questions that were worded alike, and solved alike, have in common."""
    from toolsets.endpoint import ChatEndpoint

    if chat_model and url is None:
        raise UsageError("A --chat-model needs the --url of the endpoint that has it.")
    log = RunLog()
    with opened("concept") as face, nullcontext() if url is None else ChatEndpoint(url, chat_model) as chat:
        _propose(propose(face._home, log, [log.find(run) for run in runs] if runs else None, chat), yes, as_json)
