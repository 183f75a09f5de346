"""Tools that workers call: what a tool is, how a call is read from text, how it is run.

A call's way: a worker's text -> `CallScanner` -> `ToolCall` -> `run_direct` -> `CallResult`, whose text is given back
to the worker. No torch and no model code here.
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
