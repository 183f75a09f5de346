"""What may follow in a call that is being written: right calls go through whole, wrong names stop at the first letter.

In: signatures, texts. Out: states. Neighbours: `toolsets.guiding`; `tests/workbench/test_guides.py` asks for tokens.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets.guiding import FREE, OVER, CallGrammar, Signature
from toolsets.parse import CLOSING, ToolCall, parse_tool_call
from toolsets.standard import STANDARD
from toolsets.tool import Tool

GRAMMAR = CallGrammar(
    [
        Signature("add", ("a", "b"), ("a", "b")),
        Signature("add_days", ("day", "days", "back"), ("day",)),
        Signature("now"),
        Signature("note", ("text",), (), free=True),
        Signature("grüße", ("wem",), ("wem",)),
        Signature("mail", ("an", "über"), ("an",), free=True),
    ]
)


def stops(text: str) -> int:
    """How many characters of it can be written."""
    state = GRAMMAR.begin
    for at, char in enumerate(text):
        after = GRAMMAR.step(state, char)
        if after is None:
            return at
        state = after
    return len(text)


def stop(text: str, mark: str = "|") -> None:
    """A text can be written up to the mark, and not the character after it."""
    at = text.index(mark)
    assert stops(text.replace(mark, "")) == at


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.permutations(["day", "days", "back"]),
    st.integers(0, 2),
    st.lists(json_values, min_size=3, max_size=3),
    st.sampled_from([(", ", ": "), (",", ":")]),
    st.booleans(),
)
def test_any_right_call_can_be_written_in_any_order(
    names: list[str], left_out: int, values: list[Any], marks: tuple[str, str], ascii_only: bool
) -> None:
    chosen = [name for name in names if name == "day" or names.index(name) >= left_out]
    arguments = dict(zip(chosen, values, strict=False))
    written = json.dumps({"name": "add_days", "arguments": arguments}, separators=marks, ensure_ascii=ascii_only)
    for text in (f"{written}{CLOSING}", f"\n{written}\n{CLOSING}"):
        assert GRAMMAR.after(text) == OVER


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "ad|x',
        '{"name": "add|er',
        '{"name": "add_days|_',
        '{"name": "add", "arguments": {"|c',
        '{"name": "add", "arguments": {"a": 1, "|a',
        '{"name": "add", "arguments": {"a": 1|}',
        '{"name": "add", "arguments": {|}',
        '{"name": "add", "arguments": {"a": 1, "b": 2|,',
        '{"name": "add", "arguments": {"a": 1, "b": 2}|,',
        '{"name": "add", "arguments": {"a": 1, "b": 2}}<|x',
        '{"name": "now", "arguments": {|"',
        '{"name": "now"|}',
        '{"name": "add", "arguments": {"a": 1| , "b": 2}}',
        '{"name": "add", "arguments": {"a": "x", | "b": 2}}',
        '{"name": "add", "arguments": {"a": 1, "b": 2}}\n|\n',
        '{"|arguments',
        '{"name": "add", "arguments": {"a": |x',
        '{"name": "add", "arguments": {"a": 0|1',
        '{"name": "add", "arguments": {"a": -|}',
        '{"name": "add", "arguments": {"a": 1.|,',
        '{"name": "add", "arguments": {"a": 1e+|}',
        '{"name": "add", "arguments": {"a": tr|y',
        '{"name": "add", "arguments": {"a": [1, |]',
        '{"name": "add", "arguments": {"a": {"x": 1, |}',
        '{"name": "add", "arguments": {"a": "\\|x',
        '{"name": "add", "arguments": {"a": "\\u00|g',
        '{"name": "add", "arguments": {"a": [1|}',
        '{"name": "note", "arguments": {"any thing": [1|}',
    ],
)
def test_a_call_stops_where_it_would_go_wrong(text: str) -> None:
    stop(text)


def test_a_tool_whose_keys_are_free_takes_any_of_them_and_one_whose_name_is_not_plain_is_left_alone() -> None:
    assert GRAMMAR.after(f'{{"name": "note", "arguments": {{"x": 1, "über": []}}}}{CLOSING}') == OVER
    assert GRAMMAR.after('{"name": "gr') == FREE
    assert GRAMMAR.after('{"name": "gr\\u00fc\\u00dfe", anything') == FREE
    assert CallGrammar(()).begin == FREE


def test_values_are_nested_as_deeply_as_the_parser_reads_them() -> None:
    for depth in (1, 20, 30, 31, 60):
        value = f"{'[' * depth}1{']' * depth}"
        written = f'{{"name": "add", "arguments": {{"a": {value}, "b": 1}}}}'
        assert (GRAMMAR.after(written) is not None) == isinstance(parse_tool_call(written), ToolCall)


def test_a_signature_is_what_the_tool_s_schema_says() -> None:
    assert Signature.of("gcd", STANDARD["gcd"]) == Signature("gcd", ("a", "b"), ("a", "b"))
    assert Signature.from_json(json.loads(json.dumps(Signature.of("gcd", STANDARD["gcd"]).to_json()))) == Signature.of(
        "gcd", STANDARD["gcd"]
    )

    def tool(**parameters: Any) -> Tool:
        return Tool("any", "any", {"type": "object", **parameters}, lambda: None, "value")

    one = {"a": {"type": "integer"}}
    assert Signature.of("any", tool()).free
    assert Signature.of("any", tool(properties=one, additionalProperties=True)).free
    assert not Signature.of("any", tool(properties=one)).free  # as a call of it is judged
    assert Signature.of("any", tool(properties={"größe": {}}, additionalProperties=False)).free
    assert Signature.of("other", tool(properties=one)).name == "other"
