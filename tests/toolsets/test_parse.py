"""Calls in a worker's text: what is read, what is broken, and that pieces of any size change nothing."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets import AnyCall, BrokenCall, CallScanner, ToolCall, parse_tool_call
from toolsets.parse import MAX_CALL

GCD = '{"name": "gcd", "arguments": {"a": 12, "b": 18}}'

names = st.text(st.characters(categories=["Ll", "Nd"], include_characters="_"), min_size=1)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
arguments_of_a_call = st.dictionaries(st.text(), leaves | st.lists(leaves))

pieces_of_calls = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<tool_",
        "call>",
        "</",
        GCD,
        '{"name": "f',
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\",
        "\\u",
        "```json\n",
        "```",
        "name",
        '"arguments"',
        "1e999",
        "NaN",
        "-",
        "True",
        "null",
        " ",
        "\n",
    ]
)
texts_like_calls = st.lists(pieces_of_calls | st.text(max_size=5), max_size=30).map("".join)
any_text = st.text() | st.text(st.characters()) | texts_like_calls


def scan(*pieces: str) -> list[AnyCall]:
    scanner = CallScanner()
    found = [call for piece in pieces for call in scanner.feed(piece)]
    return found + scanner.finish()


@given(names, arguments_of_a_call)
def test_a_valid_call_is_read_as_it_was_written(name: str, arguments: dict[str, Any]) -> None:
    raw = json.dumps({"name": name, "arguments": arguments})
    assert parse_tool_call(raw) == ToolCall(name, arguments, raw)


@pytest.mark.parametrize(
    "text",
    [
        GCD,
        f"\n{GCD}\n",
        f"<tool_call>\n{GCD}\n</tool_call>",
        f"```json\n{GCD}\n```",
        f"```{GCD}```",
        f"```\n{GCD}",
        GCD.replace('"', "'"),
        GCD.replace("18}", "18,},"),
        GCD[:-1],
        GCD[:-2],
        GCD + "}",
        "{name: 'gcd', arguments: {a: 12, b: 18}}",
        f"[{GCD}]",
        '{"type": "function", "function": {"name": "gcd", "arguments": "{\\"a\\": 12, \\"b\\": 18}"}}',
        '{"name": " gcd ", "parameters": {"a": 12, "b": 18}}',
    ],
)
def test_a_slip_of_form_does_not_change_the_call(text: str) -> None:
    assert parse_tool_call(text) == ToolCall("gcd", {"a": 12, "b": 18}, text)


@pytest.mark.parametrize(
    "text", ['{"name": "now"}', '{"name": "now", "arguments": null}', '{"name": "now", "arguments": ""}']
)
def test_a_call_without_arguments_has_none(text: str) -> None:
    assert parse_tool_call(text) == ToolCall("now", {}, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The call is empty"),
        ("<tool_call> </tool_call>", "The call is empty"),
        ("gcd of 12 and 18", "not JSON (a value without quotes at character 1)"),
        ('{"name": "gcd", "arguments": {"a": 12, "b": }}', "not JSON (a value is missing at character 45)"),
        ('{"name": "say", "arguments": {"text": "hello}}', "a text has no closing quote"),
        ('{"name": "f", "arguments": {"x": 1e999}}', "too large"),
        ('{"name": "f", "arguments": {"x": NaN}}', "not JSON"),
        ("12", "not a JSON object"),
        ("[]", "0 calls in one"),
        (f"[{GCD}, {GCD}]", "2 calls in one"),
        ('{"arguments": {"a": 1}}', 'has no "name"'),
        ('{"name": "", "arguments": {}}', 'has no "name"'),
        ('{"name": 3, "arguments": {}}', 'has no "name"'),
        ('{"name": "gcd", "arguments": [12, 18]}', "are not a JSON object"),
        ('{"name": "gcd", "a": 12, "b": 18}', "are not a JSON object"),
        (f'{{"name": "f", "arguments": {{"x": {"[" * 40}{"]" * 40}}}}}', "nested more than 32 levels"),
        (f'{{"name": "f", "arguments": {{"x": {"[" * 9000}{"]" * 9000}}}}}', "too deeply nested"),
        (f'{{"name": "f", "arguments": {{"x": "{"y" * MAX_CALL}"}}}}', "longer than 20,000 characters"),
    ],
)
def test_a_broken_call_says_in_one_sentence_what_to_do(text: str, reason: str) -> None:
    call = parse_tool_call(text)
    assert isinstance(call, BrokenCall)
    assert reason in call.reason
    assert call.raw == text
    assert "\n" not in call.reason
    assert call.reason.endswith(".")


def test_half_characters_do_not_get_through() -> None:
    call = parse_tool_call('{"name": "f", "arguments": {"\\ud800": ["\\udfff", "\\ud83d\\ude00"]}}')
    assert isinstance(call, ToolCall)
    assert call.arguments == {"\ufffd": ["\ufffd", "😀"]}


@given(any_text)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    call = parse_tool_call(text)
    assert isinstance(call, ToolCall | BrokenCall)
    assert call.raw == text
    if isinstance(call, ToolCall):
        json.dumps(call.arguments, allow_nan=False).encode()


@given(any_text, st.data())
def test_the_cuts_between_pieces_never_change_what_is_found(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert scan(*pieces) == scan(text) == scan(*text)


@given(st.lists(st.tuples(st.text(), names, arguments_of_a_call), max_size=5), st.text())
def test_every_call_in_a_text_is_found_in_order(calls: list[tuple[str, str, dict[str, Any]]], after: str) -> None:
    text, expected = "", []
    for before, name, arguments in calls:
        # An argument may hold a tag only in this spelling: the tag itself would end the call.
        raw = json.dumps({"name": name, "arguments": arguments}).replace("<", "\\u003c")
        text += f"{before.replace('<', '')}<tool_call>{raw}</tool_call>"
        expected.append(ToolCall(name, arguments, raw))
    assert scan(text + after.replace("<", "")) == expected


def test_a_call_is_handed_over_with_the_last_character_of_its_closing_tag() -> None:
    scanner = CallScanner()
    text = f"I call <tool_call>{GCD}</tool_call> now"
    end = text.index(" now")
    found_at = [index for index, character in enumerate(text) if scanner.feed(character)]
    assert found_at == [end - 1]


def test_a_scanner_knows_whether_a_call_is_open() -> None:
    scanner = CallScanner()
    states = []
    for piece in ("so ", "<tool", "_call>", GCD, "</tool_call>", "!"):
        scanner.feed(piece)
        states.append(scanner.inside)
    assert states == [False, False, True, True, False, False]


def test_a_call_that_was_never_closed_counts_only_where_it_is_whole() -> None:
    (whole,) = scan(f"<tool_call>{GCD}")
    assert isinstance(whole, ToolCall)
    (cut,) = scan(f"<tool_call>{GCD[:-2]}")
    assert cut == BrokenCall(GCD[:-2], "The call does not end: close it with </tool_call>.")


def test_a_second_opening_tag_ends_a_call_that_was_left_open() -> None:
    first, second = scan(f'<tool_call>{{"name": "f", <tool_call>{GCD}</tool_call>')
    assert isinstance(first, BrokenCall)
    assert second == ToolCall("gcd", {"a": 12, "b": 18}, GCD)


def test_a_call_in_the_tags_of_newer_qwen_models_is_read_with_its_values_as_texts() -> None:
    inner = "\n<function=gcd>\n<parameter=a>\n12\n</parameter>\n<parameter=b>\n$1\n</parameter>\n</function>\n"
    for text in (
        f"<tool_call>{inner}</tool_call>",
        f"<tool_call>{inner}",
        f"<tool_call>\n<tool_call>{inner}</tool_call>",
    ):
        scanner = CallScanner()
        (call,) = [*[found for sign in text for found in scanner.feed(sign)], *scanner.finish()]
        assert isinstance(call, ToolCall)
        assert (call.name, call.arguments) == ("gcd", {"a": "12", "b": "$1"})
    text = parse_tool_call("<function=say><parameter=text>\n  two\nlines\n</parameter>")
    assert isinstance(text, ToolCall)
    assert text.arguments == {"text": "  two\nlines"}
    broken = parse_tool_call("<function=say><parameter=text>hi</parameter>and so on</function>")
    assert isinstance(broken, BrokenCall)
    assert "'and so on' outside its parameters" in broken.reason


def test_a_finished_scanner_can_be_used_again() -> None:
    scanner = CallScanner()
    scanner.feed("<tool_call>{")
    scanner.finish()
    assert scanner.finish() == []
    assert len(scanner.feed(f"<tool_call>{GCD}</tool_call>")) == 1


@pytest.mark.parametrize("size", [1, 7, 4096, 3 * MAX_CALL])
@pytest.mark.parametrize("filler", [MAX_CALL - 1, MAX_CALL, MAX_CALL + 1, MAX_CALL + 30])
def test_a_call_without_an_end_is_broken_off_at_the_limit(size: int, filler: int) -> None:
    text = f"<tool_call>{'x' * filler}</tool_call> <tool_call>{GCD}</tool_call>"
    broken, call = scan(*(text[at : at + size] for at in range(0, len(text), size)))
    assert isinstance(broken, BrokenCall)
    assert len(broken.raw) == min(filler, MAX_CALL)
    assert isinstance(call, ToolCall)


def test_a_worker_that_never_calls_costs_no_memory() -> None:
    scanner = CallScanner()
    for _ in range(1000):
        scanner.feed("x" * 1000)
    held = sum(sys.getsizeof(getattr(scanner, name)) for name in vars(scanner))
    assert held < 1000
