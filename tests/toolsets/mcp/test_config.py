"""The file of MCP servers, in the shape that other clients use."""

from pathlib import Path

import pytest

from toolsets.mcp import HttpServer, McpConfigError, StdioServer, load_config, read_config

GOOD = """{
  "mcpServers": {
    "files": {
      "command": "${BIN:-uvx}",
      "args": ["server", "${HOME_DIR}/x"],
      "env": {"TOKEN": "${env:TOKEN}"},
      "cwd": "work",
      "alwaysAllow": ["read"],
      "maxConcurrent": 2
    },
    "search": {
      "type": "http", "url": "https://example.org/${HOME_DIR}", "headers": {"Authorization": "Bearer ${TOKEN}"}
    },
    "off": {"command": "x", "disabled": true}
  }
}"""


def in_a(entry: str) -> str:
    return f'{{"mcpServers": {{"a": {{{entry}}}}}}}'


def test_the_usual_shape_is_read_and_variables_are_put_in(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(GOOD)
    found = load_config(file, {"HOME_DIR": "h", "TOKEN": "s3cret"})
    assert found == {
        "files": StdioServer(
            "files",
            "uvx",
            ("server", "h/x"),
            {"TOKEN": "s3cret"},
            str(tmp_path / "work"),
            frozenset({"read"}),
            2,
        ),
        "search": HttpServer("search", "https://example.org/h", {"Authorization": "Bearer s3cret"}),
    }
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mcpServers": {\n"a": }}', "line 2: this is no JSON"),
        ("[" * 100_000, "take out what is too long or too deep"),
        (in_a('"command": "x",\n"maxConcurrent": 0'), "line 2: 'maxConcurrent' of server 'a' must be 1 or more"),
        ("[]", 'there is no record "mcpServers"'),
        ('{"servers": {}}', 'there is no record "mcpServers"'),
        ('{"mcpServers": {\n"a": {"comand": "x"}}}', "line 2: server 'a' needs 'command'"),
        ('{"mcpServers": {"a": {\n"command": 5}}}', "line 2: 'command' of server 'a' must be a text, not a number"),
        (in_a('"command": "x",\n\t"args": "y"'), "line 2: 'args' of server 'a' must be a list of texts"),
        (in_a('"command": "x", "env": {\n"K": 1}'), "line 2: 'K' in 'env' of server 'a' must be a text"),
        (
            in_a('"command": "x", "env": {\n"K": "${NO}"}'),
            "line 2: 'K' of server 'a' needs the environment variable NO",
        ),
        ('{"mcpServers": {"a": {"url": "ftp://x"}}}', "must begin with http:// or https://"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "http://x"}}}', "has the type 'sse': use stdio, or http"),
        ('{"mcpServers": {"a b": {"command": "x"}}}', "'a b' is no name for a server"),
        ('{"mcpServers": {"a": 3}}', "server 'a' must be a record"),
    ],
)
def test_every_fault_is_one_sentence_that_names_line_and_key(text: str, said: str) -> None:
    with pytest.raises(McpConfigError, match="the MCP configuration") as error:
        read_config(text, {})
    assert said in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(McpConfigError, match="cannot be read"):
        load_config(tmp_path / "none.json")
    (tmp_path / "marked.json").write_text('{"mcpServers": {}}', encoding="utf-8-sig")
    assert load_config(tmp_path / "marked.json") == {}
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(McpConfigError, match="not UTF-8"):
        load_config(tmp_path / "bytes.json")
