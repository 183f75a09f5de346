"""The file of MCP servers: the `mcpServers` shape that other clients use.

    {"mcpServers": {
        "files":  {"command": "uvx", "args": ["mcp-server-files", "${HOME}"], "env": {"TOKEN": "${TOKEN}"}, "cwd": "."},
        "search": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${KEY:-none}"}}
    }}

In: the text, the environment for `${NAME}` and `${NAME:-default}`, the folder that `cwd` is relative to. Out: one
config for each server that is not `disabled`. Every fault is an `McpConfigError` that names line and key. Keys that
only other clients know are passed over. `alwaysAllow` names tools that need no approval, as some clients have it;
`maxConcurrent` says how many calls the server may have at one time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from toolsets.mcp.errors import McpConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_VARIABLE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
_HTTP_TYPES: Final = ("http", "streamable-http", "streamable_http", "streamableHttp")


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A command to start, which is talked to through its input and output. env: added to a small safe environment
    (HOME, PATH and the like). always_allow: its tools that need no approval; `*` for all. max_concurrent: its calls at
    one time; None for no cap."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    always_allow: frozenset[str] = frozenset()
    max_concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class HttpServer:
    """An address that speaks streamable HTTP. headers: sent with every request; never shown, as they hold secrets."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    always_allow: frozenset[str] = frozenset()
    max_concurrent: int | None = None


ServerConfig: TypeAlias = StdioServer | HttpServer


def load_config(path: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, ServerConfig]:
    """The servers of a file, by name; raises McpConfigError."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise McpConfigError(f"{path} is not UTF-8 text: give a JSON file of MCP servers.") from error
    except OSError as error:
        raise McpConfigError(f"{path} cannot be read ({error.strerror}): give a JSON file of MCP servers.") from error
    return read_config(text, environment, name=str(path), folder=path.parent)


def read_config(
    text: str,
    environment: Mapping[str, str] | None = None,
    *,
    name: str = "the MCP configuration",
    folder: Path | None = None,
) -> dict[str, ServerConfig]:
    """The servers of a text, by name; raises McpConfigError.

    >>> read_config('{"mcpServers": {"a": {"command": "run-${WHAT}"}}}', {"WHAT": "it"})["a"].command
    'run-it'
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise McpConfigError(f"{name}, line {error.lineno}: this is no JSON ({error.msg}): mend it there.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or lists in lists without end
        raise McpConfigError(f"{name} cannot be read ({error}): take out what is too long or too deep.") from error
    return _Reader(text, os.environ if environment is None else environment, name, folder or Path()).servers(whole)


class _Reader:
    def __init__(self, text: str, environment: Mapping[str, str], name: str, folder: Path) -> None:
        self._text, self._environment, self._name, self._folder = text, environment, name, folder

    def servers(self, whole: Any) -> dict[str, ServerConfig]:
        servers = whole.get("mcpServers") if isinstance(whole, dict) else None
        if not isinstance(servers, dict):
            raise self._wrong((), 'there is no record "mcpServers": give {"mcpServers": {"a name": {"command": ...}}}')
        found: dict[str, ServerConfig] = {}
        for name, entry in servers.items():
            path = ("mcpServers", name)
            if not _NAME.fullmatch(name):
                raise self._wrong(path, f"{name[:70]!r} is no name for a server: use letters, digits, _ . and -")
            if not isinstance(entry, dict):
                raise self._wrong(path, f"server {name!r} must be a record with a command or a url")
            if entry.get("disabled") is not True:
                found[name] = self._server(name, entry, path)
        return found

    def _server(self, name: str, entry: dict[str, Any], path: tuple[str, ...]) -> ServerConfig:
        kind = entry.get("type", entry.get("transport", "http" if "url" in entry else "stdio"))
        always = frozenset(
            self._texts(entry, "alwaysAllow", path) + self._texts(entry, "autoApprove", path, expanded=False)
        )
        cap = entry.get("maxConcurrent")
        if cap is not None and (type(cap) is not int or cap < 1):
            raise self._wrong((*path, "maxConcurrent"), f"'maxConcurrent' of server {name!r} must be 1 or more")
        if kind == "stdio":
            if "url" in entry and "command" not in entry:
                raise self._wrong((*path, "url"), f"server {name!r} has a url, so its type must be http, not stdio")
            command = self._needed(entry, "command", path)
            cwd = self._optional(entry, "cwd", path)
            return StdioServer(
                name,
                os.path.expanduser(command),
                self._texts(entry, "args", path),
                self._record(entry, "env", path),
                None if cwd is None else str(self._folder / Path(cwd).expanduser()),
                always,
                cap,
            )
        if kind in _HTTP_TYPES:
            url = self._needed(entry, "url", path)
            if not url.startswith(("http://", "https://")):
                raise self._wrong((*path, "url"), f"the url of server {name!r} must begin with http:// or https://")
            return HttpServer(name, url, self._record(entry, "headers", path), always, cap)
        key = "type" if "type" in entry else "transport"
        raise self._wrong(
            (*path, key), f"server {name!r} has the type {kind!r}: use stdio, or http for streamable HTTP"
        )

    def _needed(self, entry: dict[str, Any], key: str, path: tuple[str, ...]) -> str:
        value = self._optional(entry, key, path)
        if not value:
            raise self._wrong(path, f"server {path[-1]!r} needs {key!r}: a text")
        return value

    def _optional(self, entry: dict[str, Any], key: str, path: tuple[str, ...]) -> str | None:
        value = entry.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._wrong((*path, key), f"{key!r} of server {path[-1]!r} must be a text, not {_kind(value)}")
        return self._expanded(value, (*path, key))

    def _texts(
        self, entry: dict[str, Any], key: str, path: tuple[str, ...], *, expanded: bool = True
    ) -> tuple[str, ...]:
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong((*path, key), f"{key!r} of server {path[-1]!r} must be a list of texts")
        return tuple(self._expanded(item, (*path, key)) if expanded else item for item in value)

    def _record(self, entry: dict[str, Any], key: str, path: tuple[str, ...]) -> dict[str, str]:
        value = entry.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong((*path, key), f"{key!r} of server {path[-1]!r} must be a record of texts")
        for name, item in value.items():
            if not isinstance(item, str):
                raise self._wrong((*path, key, name), f"{name!r} in {key!r} of server {path[-1]!r} must be a text")
        return {name: self._expanded(item, (*path, key, name)) for name, item in value.items()}

    def _expanded(self, text: str, path: tuple[str, ...]) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            found = self._environment.get(name, default)
            if found is None:
                raise self._wrong(
                    path,
                    f"{path[-1]!r} of server {path[1]!r} needs the environment variable {name}, which is not set: "
                    f"set it, or write ${{{name}:-default}}",
                )
            return found

        return _VARIABLE.sub(value, text)

    def _wrong(self, path: tuple[str, ...], what: str) -> McpConfigError:
        line = _line_of(self._text, path)
        return McpConfigError(f"{self._name}{f', line {line}' if line else ''}: {what}.")


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "a record")


def _line_of(text: str, path: tuple[str, ...]) -> int:
    """The line on which a key stands, 0 where that cannot be told. JSON is YAML, whose parser knows places."""
    import yaml  # type: ignore[import-untyped]

    try:
        node: Any = yaml.compose(text.replace("\t", " "), yaml.SafeLoader)
    except yaml.YAMLError:
        return 0
    line = 0
    for key in path:
        pair = next(((k, v) for k, v in getattr(node, "value", ()) if k.value == key), None)
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line
