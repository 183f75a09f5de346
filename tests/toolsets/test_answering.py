"""Answers by a schema: every right one can be written, nothing else, and jsonschema agrees with what comes out.

In: schemas, values, texts. Out: states, values. Neighbours: `toolsets.answering`, `toolsets.answers`;
`tests/workbench/test_answers.py` asks for tokens and has runs.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolsets.answering import AnswerGrammar
from toolsets.answers import AnswerForm
from toolsets.errors import AnswerError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "born": {"type": "string", "format": "date"},
        "friends": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
        "mood": {"enum": ["good", "goodish", 1, 12, None]},
    },
    "required": ["name", "friends"],
}
scalars = st.sampled_from(
    [
        {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}, {},
        {"enum": ["a", "ab", 1, 12, 1.5, True]}, {"const": 'so "quoted"\n'}, {"type": ["integer", "null"]},
    ]
)  # fmt: skip


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    sizes = st.sampled_from([{}, {"minItems": 1}, {"maxItems": 2}, {"minItems": 1, "maxItems": 3}])
    return st.builds(lambda items, size: {"type": "array", "items": items, **size}, inner, sizes)


def records(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(["a", "ab", "größe", 'q"', "c d"]), inner, min_size=1, max_size=4)
    return st.builds(
        lambda properties, number: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[: number % (len(properties) + 1)],
            "additionalProperties": False,
        },
        fields,
        st.integers(0, 4),
    )


schemas = st.recursive(
    scalars,
    lambda inner: (
        arrays(inner)
        | records(inner)
        | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda more: {"type": "object", "additionalProperties": more}, inner)
    ),
    max_leaves=6,
)
CHARS = '{}[]":, -.0123456789abcdefghijklmnopqrstuvwxyzEöß\\\n'


def written_at_random(grammar: AnswerGrammar, chooser: random.Random) -> str | None:
    """An answer of characters that the grammar allows; None if it grows too long."""
    state, text = grammar.begin, ""
    while len(text) < 400:
        if grammar.may_end(state) and (chooser.random() < 0.5 or not any(grammar.step(state, c) for c in CHARS)):
            return text
        after = [(char, one) for char in CHARS if (one := grammar.step(state, char)) is not None]
        assert after, text
        closing = [pair for pair in after if pair[0] in '"}]']
        char, state = chooser.choice(closing if closing and chooser.random() < 0.4 else after)
        text += char
    return None


@given(schemas, st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_by_a_schema_is_valid_by_jsonschema(schema: dict[str, Any], seed: int) -> None:
    text = written_at_random(AnswerGrammar(schema), random.Random(seed))
    if text is not None:
        jsonschema.validate(json.loads(text), schema)


def value_of(schema: dict[str, Any], chooser: random.Random) -> Any:
    """A value that is right, made without the grammar."""
    if "anyOf" in schema:
        return value_of(chooser.choice(schema["anyOf"]), chooser)
    if "enum" in schema or "const" in schema:
        return chooser.choice(schema.get("enum") or [schema["const"]])
    kind = schema.get("type", "any")
    kind = chooser.choice(kind) if isinstance(kind, list) else kind
    if kind == "array":
        least = schema.get("minItems", 0)
        return [value_of(schema["items"], chooser) for _ in range(chooser.randint(least, schema.get("maxItems", 3)))]
    if kind == "object":
        properties = schema.get("properties")
        if properties is None:
            return {
                key: value_of(schema["additionalProperties"], chooser) for key in ("x", 'y"') if chooser.random() < 0.5
            }
        needed = schema["required"]
        return {
            key: value_of(inner, chooser)
            for key, inner in properties.items()
            if key in needed or chooser.random() < 0.5
        }
    plain: dict[str, list[Any]] = {
        "string": ["", "a", 'b"\\\n\u2028ü'], "integer": [0, -7, 120], "number": [0, -0.5, 12.25, 1e30],
        "boolean": [True, False], "null": [None], "any": [None, {"k": [1, {"l": "m"}]}, [[]], "t", -1.5],
    }  # fmt: skip
    return chooser.choice(plain[kind])


@given(schemas, st.integers(0, 10**6), st.sampled_from([(", ", ": "), (",", ":")]), st.sampled_from(["", " "]))
@settings(max_examples=300, deadline=None)
def test_every_right_answer_can_be_written_and_may_end_there_only(
    schema: dict[str, Any], seed: int, marks: tuple[str, str], blank: str
) -> None:
    grammar, value = AnswerGrammar(schema), value_of(schema, random.Random(seed))
    text = json.dumps(value, ensure_ascii=False, separators=marks)
    state = grammar.after(blank + text)
    assert state is not None, text
    assert grammar.may_end(state)
    if text[-1] in '"}]':
        assert not any(grammar.step(state, char) for char in CHARS)
        before = grammar.after(text[:-1])
        assert before is not None
        assert not grammar.may_end(before)


@pytest.mark.parametrize(
    "text",
    [
        '{"|age',  # name comes first
        '{"name": "x", "friends": [], "|a',  # fields stand in the schema's order
        '{"name": "x"|}',
        '{"name": "x", "|m',  # friends are missing
        '{"name": "x", "age": 1|.5',
        '{"name": "x", "age": 0|1',
        '{"name": "x|\n',
        '{"name": "x", "born": "2024-0|x',
        '{"name": "x", "friends": [{"name": "y", "friends": []}, {"name": "z", "friends": []}|,',
        '{"name": "x", "friends": [], "mood": "goodi|n',
        '{"name": "x", "friends": []}|\n',
        "|[",
        " | ",
    ],
)
def test_nothing_else_can_be_written(text: str) -> None:
    grammar = AnswerGrammar(PERSON)
    at = text.index("|")
    text = text.replace("|", "")
    assert grammar.after(text[:at]) is not None
    assert grammar.after(text[: at + 1]) is None


def test_choices_that_begin_alike_are_all_open() -> None:
    grammar = AnswerGrammar({"enum": ["good", "goodish", 1, 12]})
    for text, may_end in (('"good"', True), ('"good', False), ('"goodish"', True), ("1", True), ("12", True)):
        state = grammar.after(text)
        assert state is not None
        assert grammar.may_end(state) is may_end
    assert grammar.after("13") is None
    either = AnswerGrammar({"anyOf": [{"const": "none"}, {"type": "string", "format": "date"}, {"type": "integer"}]})
    for text in ('"none"', '"2024-02-29"', "-3"):
        state = either.after(text)
        assert state is not None
        assert either.may_end(state)
    assert either.after('"no2') is None


def test_a_schema_that_holds_itself_cannot_be_written_for_ever() -> None:
    grammar = AnswerGrammar({"type": "array", "items": {"$ref": "#"}})
    assert grammar.after("[" * 20) is not None
    assert grammar.after("[" * 2000) is None


@dataclass
class Person:
    name: str
    age: int = 0


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@pytest.mark.parametrize(
    ("wish", "text", "value"),
    [
        (int, "12", 12),
        (int, ' "12" ', 12),
        ("int", "12.0", 12),
        (float, "1.5", 1.5),
        ("number", "7", 7),
        (bool, "yes", True),
        (str, "hello", "hello"),
        (str, '"hello"', "hello"),
        ("text", "007", "007"),
        (date, "2024-02-29", date(2024, 2, 29)),
        (list[int], "[1, 2]", [1, 2]),
        (Person, '{"name": "Ann", "age": 3}', Person("Ann", 3)),
        (list[Person], '[{"name": "Ann"}]', [Person("Ann")]),
        (Literal["a", "b"], "b", "b"),
        (Mood, '"bad"', Mood.BAD),
        (int | None, "null", None),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_answers_are_read_as_what_was_asked_for(wish: Any, text: str, value: Any) -> None:
    read = AnswerForm.of(wish).read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("wish", "text", "sentence"),
    [
        (int, "12.5", "The answer must be a whole number, not 12.5."),
        (int, "about 12", "The answer must be a whole number, not 'about 12'."),
        (int, "", "There is no answer."),
        (date, "2024-02-30", "The answer must be a date as YYYY-MM-DD, not '2024-02-30'."),
        (list[int], "[1, 2", "The answer is no JSON, or was cut off: '[1, 2'."),
        (list[int], '[1, "x"]', "The answer[1] must be a whole number, not 'x'."),
        ({"type": "integer", "maximum": 5}, "7", "The answer must be at most 5, not 7."),
        (Mood, "fine", 'The answer must be "good" or "bad", not \'fine\'.'),
    ],
)
def test_what_is_wrong_with_an_answer_is_said_in_a_sentence(wish: Any, text: str, sentence: str) -> None:
    with pytest.raises(AnswerError) as told:
        AnswerForm.of(wish).read(text)
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("integer", "There is no kind of answer 'integer'; give int, number, bool, text, date or a JSON Schema."),
        ({"type": "int"}, "not JSON Schema"),
        ({"enum": []}, "an enum without values"),
        (
            {"type": "object", "properties": {"a": {}}, "required": ["b"]},
            "requires 'b', which is none of its properties",
        ),
        ({"$ref": "#/$defs/x"}, "refers to '#/$defs/x', which it does not define"),
        ({"type": "array", "items": {"enum": {1}}}, "is no JSON"),
        (print, "cannot be asked for"),
        (AnswerGrammar, "cannot be asked for"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_a_sentence(wish: Any, words: str) -> None:
    with pytest.raises(AnswerError) as told:
        AnswerForm.of(wish)
    assert words in str(told.value)
    assert "\n" not in str(told.value)
