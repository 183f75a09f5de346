"""Tools that workers call: what a tool is, how a call is read from text, how it is run.

    tool, hints, docstrings, schemas   a function as a `Tool`, its types told as JSON Schema
    builtin, exact, standard           the tools that come along
    parse, damaged, guiding            one call in a text: reading it, mending it, what may follow in it
    fronts -> plan -> check            five grammars, one `Plan`, and what is wrong with it (`diagnostics`)
    executor                           runs plans, by `policy`; `arguments`, `fitting`, `resolve` make what a tool gets
    direct                             runs one call at once
    results, rounds, rendering         what came of calls, as text for a model; `untrusted` makes it harmless
    sandbox, mcp                       where code that nobody vouches for runs; tools of MCP servers
    shelf, annotations, composites, seeding   rows of the library as tools
    making, induction                  tools made from problems, by a model (`chat`, `endpoint`), and from runs

Neighbours: `memory.store` keeps tools, `workbench` runs them. No torch and no model code here.
"""

from toolsets.builtin import BUILTINS
from toolsets.direct import CallResult, run_direct
from toolsets.errors import ArgumentError, ToolDefinitionError, ToolsetError
from toolsets.parse import AnyCall, BrokenCall, CallScanner, ToolCall, parse_tool_call
from toolsets.rendering import render_result
from toolsets.tool import Tool

__all__ = [
    "BUILTINS",
    "AnyCall",
    "ArgumentError",
    "BrokenCall",
    "CallResult",
    "CallScanner",
    "Tool",
    "ToolCall",
    "ToolDefinitionError",
    "ToolsetError",
    "parse_tool_call",
    "render_result",
    "run_direct",
]
