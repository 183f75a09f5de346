"""The reader of damaged JSON: what it mends, what it leaves alone, what it refuses."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets.damaged import read_damaged_json

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(leaves, lambda children: st.lists(children) | st.dictionaries(st.text(), children), max_leaves=20)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_valid_json_reads_as_the_standard_library_reads_it(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert read_damaged_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@given(values.filter(lambda value: isinstance(value, dict | list)))
def test_closing_brackets_may_be_missing_at_the_end(value: Any) -> None:
    text = json.dumps(value).rstrip("}]")
    assert read_damaged_json(text) == value


@given(values, st.text("}] \n"))
def test_closing_brackets_may_be_too_many_at_the_end(value: Any, more: str) -> None:
    assert read_damaged_json(json.dumps(value) + more) == value


@given(st.dictionaries(st.text("abc", min_size=1), st.text(st.characters(codec="ascii", exclude_characters="\"'\\"))))
def test_single_quotes_stand_for_double_ones(value: dict[str, str]) -> None:
    assert read_damaged_json(json.dumps(value).replace('"', "'")) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1,}", {"a": 1}),
        ("[1, 2,]", [1, 2]),
        ("{a: True, b: None}", {"a": True, "b": None}),
        ("{'t': 'it's fine', 'n': 2}", {"t": "it's fine", "n": 2}),
        ('{"t": "say "hi" twice"}', {"t": 'say "hi" twice'}),
        ('{"t": "two\nlines"}', {"t": "two\nlines"}),
        ('{"t": "C:\\dir"}', {"t": "C:\\dir"}),
        ('{"t": "\\ud83d\\ude00"}', {"t": "😀"}),
        ('{"t": "\\ud83d"}', {"t": "\ufffd"}),
        ('{"numbers": [1, 2}', {"numbers": [1, 2]}),
        ('{"a": {"b": +3, "c": -2.5e1]}', {"a": {"b": 3, "c": -25.0}}),
    ],
)
def test_a_plain_slip_is_mended(text: str, value: Any) -> None:
    assert read_damaged_json(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a value is missing at character 1"),
        ('{"a":', "a value is missing at character 6"),
        ("{a: 1, b 2}", "a colon is missing at character 10"),
        ('{"a": 1 "b": 2}', "a comma is missing"),
        ("{1: 2}", "a name is missing"),
        ('{"a": "b}', "a text has no closing quote"),
        ('{"a": b}', "a value without quotes"),
        ('{"a": 1} and more', "something after the end"),
        ('{"a": 1e999}', "too large"),
        ('{"a": NaN}', "a value without quotes"),
        ('{"a": 1.2.3}', "a value without quotes"),
        (f'{{"a": {"9" * 5000}}}', "a value without quotes"),
        ("[" * 100_000, "too deeply nested"),
    ],
)
def test_what_could_mean_more_than_one_thing_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_damaged_json(text)
