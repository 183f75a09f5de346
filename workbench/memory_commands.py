"""`workbench concepts learn`, and `ablate` of concepts and tools: learning from runs, and what it did to them.

In: what a person types. Out: what would change, and after a yes the change. Neighbours: `remembering` and
`evaluate_memory` do the work, `library_commands` has the other verbs, `cli` registers.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from memory.values import Kind
from workbench.command_options import AsJson, Endpoint, EndpointModel, Model, RunIds, Yes
from workbench.errors import UsageError
from workbench.evaluate_command import ABOUT, Bar, Seeds, read_seeds
from workbench.library_commands import carry_out, opened
from workbench.log import RunLog
from workbench.models import EMBEDDED
from workbench.remembering import propose
from workbench.visible import visible


def add_remembering(tools: typer.Typer, concepts: typer.Typer) -> None:
    """Put the verbs onto the groups of the tools and of the concepts."""
    concepts.command("learn")(learn)
    _ablating(tools, "tool")
    _ablating(concepts, "concept")


def learn(
    runs: RunIds = None,
    endpoint: Endpoint = None,
    model: EndpointModel = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Propose concepts: what questions that were worded alike, and solved alike, have in common."""
    from toolsets.endpoint import ChatEndpoint

    if (endpoint is None) != (model is None):
        raise UsageError("To abstract with a model give both --endpoint and --model.")
    log = RunLog()
    asked = nullcontext() if endpoint is None or model is None else ChatEndpoint(endpoint, model)
    with opened("concept") as face, asked as chat:
        carry_out(propose(face.home, log, [log.find(run) for run in runs] if runs else None, chat), yes, as_json)


def _ablating(app: typer.Typer, kind: Kind) -> None:
    @app.command()
    def ablate(
        rows: Annotated[list[str] | None, typer.Argument(metavar="ROW", help="By default all active ones.")] = None,
        set_: Annotated[str, typer.Option("--set", help=f"Worksheets: {', '.join(ABOUT)}.")] = "single",
        seeds: Seeds = "0:20",
        model: Model = EMBEDDED,
        as_json: AsJson = False,
    ) -> None:
        """Helped or hurt: held-out worksheets with a row in the prompt against the same without it, pair by pair."""
        from workbench.evaluate_memory import ablate_on

        with opened(kind) as face:
            chosen, played = face.ablated_rows(rows or ()), read_seeds(seeds)
            found = []
            with Bar("worksheets", 2 * len(chosen) * len(played), hidden=as_json) as bar:
                for one in ablate_on(face.home, chosen, set_, played, model=model, progress=bar):
                    found.append(one.to_json())
                    if not as_json:
                        print(visible(str(one)))
            if as_json:
                print(json.dumps(found, ensure_ascii=False))
