"""How a function becomes a tool, and how a tool is told to a model."""

from collections.abc import Callable
from datetime import date
from types import ModuleType
from typing import Any

import pytest

from toolsets import BUILTINS, Tool, ToolDefinitionError


def everything(n: int, x: float, s: str, d: date, flag: bool, items: list[int], *, limit: int = 3) -> list[str]:
    """Everything at once.

    More is not told.
    """
    return [f"{n}{x}{s}{d}{flag}{items}{limit}"]


def test_a_line_puts_the_description_before_the_signature() -> None:
    assert BUILTINS["gcd"].line() == "Greatest common divisor: gcd(a: int, b: int)"


def test_a_signature_says_every_type_in_one_short_word() -> None:
    assert Tool.from_function(everything).signature() == (
        "everything(n: int, x: number, s: text, d: date, flag: bool, items: list, limit: int = 3)"
    )


def test_numbers_of_a_builtin_are_told_as_number() -> None:
    assert BUILTINS["convert_units"].signature() == "convert_units(value: number, unit: text, to: text)"
    assert BUILTINS["mean"].signature() == "mean(numbers: list)"
    assert BUILTINS["days_between"].signature() == "days_between(start: date, end: date)"


def test_the_schema_is_the_one_that_chat_templates_expect() -> None:
    assert Tool.from_function(everything).schema() == {
        "type": "function",
        "function": {
            "name": "everything",
            "description": "Everything at once",
            "parameters": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer"},
                    "x": {"type": "number"},
                    "s": {"type": "string"},
                    "d": {"type": "string", "format": "date"},
                    "flag": {"type": "boolean"},
                    "items": {"type": "array", "items": {"type": "integer"}},
                    "limit": {"type": "integer", "default": 3},
                },
                "required": ["n", "x", "s", "d", "flag", "items"],
                "additionalProperties": False,
            },
        },
    }


def test_what_a_tool_returns_is_said_in_the_same_words() -> None:
    assert Tool.from_function(everything).returns == "list"
    assert {BUILTINS[name].returns for name in ("gcd", "mean", "weekday", "add_days", "is_prime")} == {
        "int",
        "number",
        "text",
        "date",
        "bool",
    }


def untyped(a):  # type: ignore[no-untyped-def]
    """Something."""


def undocumented(a: int) -> int:
    return a


def strange(a: ModuleType) -> str:
    """Something."""
    return a.__name__


def starred(*numbers: int) -> int:
    """Something."""
    return sum(numbers)


def unnamed_type(a: "Missing") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Something."""
    return 0


def odd_default(a: float = float("nan")) -> float:
    """Something."""
    return a


class Odd:
    """Something."""


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (untyped, "Parameter 'a' of untyped needs one of these type hints"),
        (undocumented, "undocumented has no docstring"),
        (strange, "Parameter 'a' of strange needs one of these type hints"),
        (starred, "Parameter 'numbers' of starred cannot be passed by name"),
        (unnamed_type, "The type hints of unnamed_type cannot be read"),
        (odd_default, "default of parameter 'a' of odd_default cannot be written as JSON"),
        (lambda a: a, "give it a plain name"),
        (Odd, "Odd is a class, which cannot become a tool"),
        (dict.update, "update does not say what it takes"),
    ],
)
def test_a_function_that_cannot_be_told_to_a_model_is_refused(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(ToolDefinitionError, match=sentence) as caught:
        Tool.from_function(function)
    assert "\n" not in str(caught.value)


def test_tools_are_values_that_compare_and_hash() -> None:
    assert Tool.from_function(everything) == Tool.from_function(everything)
    assert len({Tool.from_function(everything), Tool.from_function(everything), BUILTINS["gcd"]}) == 2
