"""From what an MCP server says to our values: its tools to `Tool`s, its results to values. Pure.

In: tools and results as the package `mcp` has them. Out: `Tool`s that are marked untrusted, with effect, idempotence
and policy from their annotations; a value for a result, or `McpToolError`. Neighbours: `client` lists and calls,
`untrusted` neutralises what a model will read.

The annotations are hints of a server that nobody vouches for, and what they leave out counts as the dangerous one, as
the protocol has it: a tool that does not say `readOnlyHint` changes something, one that changes something and does not
say that it is not destructive needs a person's yes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from toolsets.hints import JsonSchema, kind_of
from toolsets.mcp.errors import McpToolError
from toolsets.policy import CallPolicy
from toolsets.schemas import followed
from toolsets.tool import Tool
from toolsets.untrusted import neutralise, neutralise_tool

if TYPE_CHECKING:
    from mcp_types import CallToolResult
    from mcp_types import Tool as McpTool

MAX_DESCRIPTION_CHARS: Final = 2_000
MAX_SCHEMA_CHARS: Final = 50_000
_PARAMETER: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_NOT_IN_NAMES: Final = re.compile(r"\W+", re.ASCII)
_MAX_DEPTH: Final = 30
_VALUES: Final = ("enum", "default", "const", "examples")
_RECORDS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")


class NotOffered(Exception):
    """The tool cannot be offered; the text says why."""


def tool_name(server: str, tool: str, taken: Collection[str] = ()) -> str:
    """What a model calls it: the server's name and the tool's, as an identifier that every grammar can say.

    >>> tool_name("my-files", "read/file"), tool_name("git", "git_status"), tool_name("a", "b", {"a_b"})
    ('my_files_read_file', 'git_status', 'a_b_2')
    """
    server, tool = (_NOT_IN_NAMES.sub("_", text).strip("_") for text in (server, tool))
    name = tool if tool == server or tool.startswith(f"{server}_") else f"{server}_{tool}"
    name = f"_{name}" if name[:1].isdigit() else name
    if name not in taken:
        return name
    return next(other for n in range(2, len(taken) + 3) if (other := f"{name}_{n}") not in taken)


def convert_tool(
    found: McpTool,
    name: str,
    server: str,
    call: Callable[..., Awaitable[Any]],
    *,
    always_allow: Collection[str] = (),
    server_cap: int | None = None,
    markers: Collection[str] = (),
) -> Tool:
    """The tool as we offer it; raises NotOffered. call: the async function that runs it."""
    notes = found.annotations
    read_only = notes is not None and notes.read_only_hint is True
    destructive = not read_only and not (notes is not None and notes.destructive_hint is False)
    allowed = found.name in always_allow or "*" in always_allow
    described = (found.description or found.title or found.name).strip()[:MAX_DESCRIPTION_CHARS]
    summary, _, details = described.partition("\n")
    returned = _returned(found)
    tool = Tool(
        name=name,
        description=summary.strip().removesuffix(".") or name,
        parameters=_parameters(found.input_schema),
        function=call,
        returns=kind_of(followed(returned, returned)),
        effect="read" if read_only else "write",
        idempotent=notes is not None and notes.idempotent_hint is True,
        policy=CallPolicy(approval=True if destructive and not allowed else None),
        server=server,
        server_cap=server_cap,
        trusted=False,
        returns_schema=returned,
        details=details,
    )
    return neutralise_tool(tool, markers)


def convert_result(result: CallToolResult, wrapped: bool) -> Any:
    """What a call gave, as a value; raises McpToolError with the server's own words. wrapped: the server puts a value
    that is no record into one with the only field `result`."""
    if result.is_error:
        raise McpToolError(_text(result.content) or "The tool failed and gave no reason.")
    value = result.structured_content
    if value is not None:
        return value["result"] if wrapped and isinstance(value, dict) and set(value) == {"result"} else value
    text = _text(result.content)
    if text[:1] in ("{", "["):
        # Many servers write their records as text; as values, later calls can refer to their parts.
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def is_wrapped(found: McpTool) -> bool:
    """Whether the server's results stand in a record with the only field `result`."""
    schema = found.output_schema or {}
    properties = schema.get("properties")
    return isinstance(properties, Mapping) and set(properties) == {"result"} and schema.get("type") == "object"


def _returned(found: McpTool) -> JsonSchema:
    schema: Mapping[str, Any] | None = found.output_schema
    if not schema or len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
        return {}
    if is_wrapped(found):
        shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        inner = schema["properties"]["result"]
        schema = {**inner, **shared} if isinstance(inner, dict) else {}
    clean: JsonSchema = _clean(dict(schema), 0)
    return clean


def _parameters(schema: Mapping[str, Any]) -> JsonSchema:
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
        raise NotOffered(f"the schema of its arguments is longer than {MAX_SCHEMA_CHARS:,} characters")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        raise NotOffered("the schema of its arguments has no record of properties")
    for name in properties:
        # Names cannot be changed, and one that is not plain could carry a call into the prompt.
        if not _PARAMETER.fullmatch(name) or neutralise(name) != name:
            raise NotOffered(f"its parameter {name[:40]!r} is no plain name")
    needed = schema.get("required", [])
    clean: JsonSchema = _clean(dict(schema), 0)
    clean["type"] = "object"
    clean["properties"] = {name: clean["properties"].get(name, {}) for name in properties}
    clean["required"] = [name for name in needed if name in properties] if isinstance(needed, list) else []
    return clean


def _clean(schema: Any, depth: int, named: bool = False) -> Any:
    """A schema without texts that a model could take for a call, and of a shape that can be read. named: its keys are
    names of fields."""
    if depth > _MAX_DEPTH:
        return {}
    if isinstance(schema, list):
        return [_clean(item, depth + 1) for item in schema]
    if isinstance(schema, bool) and depth:
        return {}
    if not isinstance(schema, dict):
        return schema
    clean: dict[str, Any] = {}
    for key, value in schema.items():
        if not _harmless(key) or not (named or _sound(key, value)):
            continue
        if named:
            clean[key] = _clean(value, depth + 1) if isinstance(value, dict) else {}
        elif key in ("description", "title", "$comment"):
            clean[key] = str(value)[:MAX_DESCRIPTION_CHARS]  # made harmless with the tool's own description
        elif key in _VALUES or isinstance(value, bool | int | float | str) or value is None:
            if _harmless(value):
                clean[key] = value
        else:
            clean[key] = _clean(value, depth + 1, key in _RECORDS)
    return clean


def _sound(key: str, value: Any) -> bool:
    """Whether a keyword has the form that JSON Schema gives it; one that has not says nothing."""
    if key in _RECORDS:
        return isinstance(value, dict)
    if key in _LISTS:
        return isinstance(value, list) and bool(value) and all(isinstance(one, dict | bool) for one in value)
    if key == "required":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if key == "enum":
        return isinstance(value, list) and bool(value)
    if key == "type":
        kinds = value if isinstance(value, list) else [value]
        return bool(kinds) and all(isinstance(kind, str) for kind in kinds)
    if key in ("items", "additionalProperties"):
        return isinstance(value, dict | bool)
    return key != "$ref" or isinstance(value, str)


def _harmless(value: Any, depth: int = _MAX_DEPTH) -> bool:
    """Whether a model could take nothing in it for a call: it stands in the prompt as it is, or not at all."""
    if isinstance(value, str):
        return value.isalnum() or (len(value) <= MAX_DESCRIPTION_CHARS and neutralise(value) == value)
    if isinstance(value, dict | list):
        items = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_harmless(item, depth - 1) for item in items)
    return True


def _text(content: Sequence[Any]) -> str:
    return "\n".join(_block_text(block) for block in content)


def _block_text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type} {block.mime_type}, {len(block.data) * 3 // 4:,} bytes]"
        case "resource_link":
            return f"[resource {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return str(text) if text is not None else f"[resource {block.resource.uri}]"
        case _:
            return f"[{block.type}]"
