"""The set whose prompts list only the tools that the library's retrieval returns: 8 of more than 300.

In: a seed. Out: a `Trial` with the retrieved tools, its items tagged `hit` where the tool that they need is among
them, else `missed`. The library holds the standard tools and those of the held-out shelf that have no built-in double,
so that no item can be answered by another tool. Below: `recall.find`, as runs use it. Above: `evaluate_sets`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hogwild.embedded.world import Scope, make_sheet, shelf_of
from memory.planning import plan_new
from memory.values import Snapshot
from toolsets.standard import STANDARD
from toolsets.tool import Tool
from workbench.evaluate import Trial
from workbench.libraries import Libraries
from workbench.recall import Wanted, find

if TYPE_CHECKING:
    from memory.embedder import Embedder

TOOLS: Final = 8
HIT: Final = "hit"
MISSED: Final = "missed"
_SCOPE: Final = Scope((4, 4), {"made": 0.7, "call": 0.3}, listed={"eight": 1.0})


class Retrieval:
    """A library of its own, in a temporary folder, and trials from it. embedder: None for the packaged one."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="workbench-eval-")
        self.home = Libraries(Path(self._folder.name), embedder=embedder)
        made = {one.tool.name: one.tool for one in shelf_of(0, "held_out") if not one.base}
        self.tools: Mapping[str, Tool] = {**STANDARD, **made}
        rows = [_row(tool) for name, tool in made.items() if name not in STANDARD]
        self.home.library.apply(plan_new(rows), author="evaluation", note="tools that training never showed")

    def trial(self, seed: int) -> Trial:
        sheet = make_sheet(seed, _SCOPE, "held_out")
        wanted = Wanted(tools=TOOLS, concepts=0, keeps_base=False)
        found = find(self.home, [item.question for item in sheet.items], wanted)
        tools = {hit.row.name: self.tools[hit.row.name] for hit in found.tools}
        tags = {item.number: HIT if all(call.tool in tools for call in item.calls) else MISSED for item in sheet.items}
        return Trial(sheet, tools=tools, tags=tags)


@cache
def packaged() -> Retrieval:
    """The one with the packaged embedder; made once in a process."""
    return Retrieval()


def _row(tool: Tool) -> Snapshot:
    """A row whose code only says what the tool is: retrieval reads its name and docstring."""
    code = f"def {tool.name}({', '.join(tool.parameters['properties'])}):\n    {tool.description!r}\n"
    content = {"name": tool.name, "code": code, "effect": tool.effect, "problems": [], "calls": []}
    return Snapshot("tool", content, state="active", provenance={"source": "evaluation"})
