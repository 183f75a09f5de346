"""A function's hints and docstring as a tool: schemas by pydantic, what the executor obeys, values as hinted."""

import doctest
import enum
import functools
import sys
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import toolsets.docstrings
import toolsets.tool
from toolsets import ArgumentError, ToolDefinitionError
from toolsets.arguments import fit_arguments
from toolsets.builtin import BUILTINS
from toolsets.policy import CallPolicy
from toolsets.tool import Tool, tool


@dataclass
class Point:
    x: float
    y: float = 0


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Options(TypedDict, total=False):
    depth: int


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


@tool(effect="write", policy=CallPolicy(timeout_s=5), max_concurrent=2)
def draw(
    points: list[Point],
    colour: Colour,
    style: Literal["solid", "dashed"] = "solid",
    label: Optional[str] = None,  # noqa: UP045 - people write it so
    scale: Annotated[float, Field(gt=0, description="how large")] = 1.0,
    tags: dict[str, list[int]] = {},  # noqa: B006
    options: Options | None = None,
    on: date | None = None,
    origin: Point = Point(1, 2),  # noqa: B008
) -> dict[str, float]:
    """Drawing of points.

    Longer story.

    Args:
        points: where they are
        colour: of the line
        scale: is told by the hint

    Returns:
        The size.

    Examples:
        >>> 1 + 1
        2
    """
    return {"n": len(points)}


def test_every_kind_of_hint_has_its_schema() -> None:
    properties = draw.parameters["properties"]
    assert properties["points"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Point"},
        "description": "where they are",
    }
    assert draw.parameters["$defs"]["Point"]["required"] == ["x"]
    assert draw.parameters["$defs"]["Colour"] == {"enum": ["red", "blue"], "type": "string"}
    assert properties["style"] == {"enum": ["solid", "dashed"], "type": "string", "default": "solid"}
    assert properties["label"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert properties["scale"] == {"exclusiveMinimum": 0, "type": "number", "description": "how large", "default": 1.0}
    assert properties["tags"]["additionalProperties"] == {"type": "array", "items": {"type": "integer"}}
    assert properties["on"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert properties["origin"]["default"] == {"x": 1, "y": 2}
    assert draw.parameters["required"] == ["points", "colour"]
    assert draw.returns_schema == {"type": "object", "additionalProperties": {"type": "number"}}
    assert draw.returns == "object"
    assert "title" not in str(draw.parameters)


def test_a_signature_tells_choices_and_what_may_be_none() -> None:
    assert draw.signature() == (
        'draw(points: list, colour: "red" | "blue", style: "solid" | "dashed" = "solid", label: text | none = null, '
        "scale: number = 1.0, tags: object = {}, options: object | none = null, on: date | none = null, "
        'origin: object = {"x": 1.0, "y": 2.0})'
    )


def test_what_is_declared_is_kept() -> None:
    assert (draw.effect, draw.idempotent, draw.max_concurrent, draw.policy.timeout_s) == ("write", False, 2, 5)
    assert (draw.server, draw.trusted, draw.is_async) == (None, True, False)
    assert draw.details == "Longer story."
    assert draw.examples == ("1 + 1 -> 2",)
    assert BUILTINS["gcd"].effect == "read"
    assert BUILTINS["gcd"].idempotent


def test_a_decorated_function_can_still_be_called() -> None:
    assert draw([Point(0)], Colour.RED) == {"n": 1}


def test_arguments_become_values_of_the_hinted_types() -> None:
    fitted = fit_arguments(
        draw,
        {"points": [{"x": "1", "y": 2}], "colour": "red", "label": None, "on": "2024-02-29", "options": '{"depth": 2}'},
    )
    assert fitted["points"] == [Point(1, 2)]
    assert fitted["colour"] is Colour.RED
    assert fitted["on"] == date(2024, 2, 29)
    assert fitted["options"] == {"depth": 2}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"colour": "green"}, 'colour of draw must be "red" or "blue", not \'green\'.'),
        ({"points": [{"y": 1}]}, "points[0] of draw must be a record with the field 'x', not {'y': 1}."),
        ({"points": [{"x": "one"}]}, "points[0].x of draw must be a number, not 'one'."),
        ({"points": {"x": 1}}, "points of draw must be a list, not {'x': 1}."),
        ({"style": "dotted"}, 'style of draw must be "solid" or "dashed", not \'dotted\'.'),
        ({"scale": 0}, "scale of draw must be more than 0, not 0."),
        ({"label": 3}, "label of draw must be a text or null, not 3."),
        ({"tags": {"a": [1.5]}}, "tags.a[0] of draw must be a whole number, not 1.5."),
        ({"options": {"depth": "deep"}}, "options.depth of draw must be a whole number, not 'deep'."),
    ],
)
def test_a_misfit_deep_inside_is_told_with_its_place(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        fit_arguments(draw, {"points": [], "colour": "red"} | arguments)
    assert str(caught.value) == sentence


def test_types_that_hold_themselves_are_told_and_read() -> None:
    @tool
    def depth(tree: Tree) -> int:
        """Depth of a tree."""
        return 1 + max([depth(child) for child in tree.children], default=0)

    fitted = fit_arguments(depth, {"tree": {"name": "a", "children": [{"name": "b"}]}})
    assert depth(**fitted) == 2
    with pytest.raises(ArgumentError, match=r"tree.children\[0\] of depth must be a record with the field 'name'"):
        fit_arguments(depth, {"tree": {"name": "a", "children": [{}]}})


def test_a_type_of_its_own_checks_is_asked_and_answers_in_one_sentence() -> None:
    @tool
    def even(n: Annotated[int, Field(multiple_of=2)]) -> int:
        """Half of it."""
        return n // 2

    with pytest.raises(ArgumentError, match=r"n of even does not fit: Input should be a multiple of 2\.") as caught:
        fit_arguments(even, {"n": 3})
    assert "\n" not in str(caught.value)


def test_alternatives_take_the_values_own_type_before_any_slip_is_forgiven() -> None:
    @tool
    def show(value: int | str | list[int] | None = None) -> str:
        """Shown."""
        return str(value)

    for value in ("5", 5, [5], None, "x"):
        assert fit_arguments(show, {"value": value})["value"] == value
        assert type(fit_arguments(show, {"value": value})["value"]) is type(value)


def test_async_functions_and_callable_objects_are_known_as_what_they_are() -> None:
    @tool
    async def wait(seconds: int) -> int:
        """Waits."""
        return seconds

    class Later:
        """Answers later."""

        async def __call__(self, n: int) -> int:
            return n

    assert wait.is_async
    assert wait.returns == "int"
    assert Tool.from_function(Later()).is_async
    assert Tool.from_function(Later()).signature() == "Later(n: int)"


def test_functions_that_were_decorated_or_given_some_arguments_are_told_as_what_they_are() -> None:
    def scaled(n: int, by: Literal["two"] | int = 3) -> int:
        """A number, scaled."""
        return n * int(by)

    class Adder:
        def __call__(self, n: int) -> int:
            """One more."""
            return n + 1

    cached, partial = (
        Tool.from_function(functools.lru_cache(scaled)),
        Tool.from_function(functools.partial(scaled, by=4)),
    )
    assert cached.line() == 'A number, scaled: scaled(n: int, by: "two" | int = 3)'
    assert partial.line() == 'A number, scaled: scaled(n: int, by: "two" | int = 4)'
    assert (cached(2), partial(2)) == (6, 8)
    assert Tool.from_function(functools.partial(scaled, 5)).signature() == 'scaled(by: "two" | int = 3)'
    assert Tool.from_function(Adder()).line() == "One more: Adder(n: int)"


@pytest.mark.parametrize(
    "docstring",
    [
        "Thing.\n\nArgs:\n    a: the first\n        of two\n    b (int): the second\n",
        "Thing.\n\nParameters\n----------\na : int\n    the first of two\nb : int\n    the second\n",
        "Thing.\n\n:param a: the first of two\n:param b: the second\n:returns: nothing\n",
    ],
)
def test_parameter_descriptions_of_three_styles_are_read(docstring: str) -> None:
    def thing(a: int, b: int) -> int:
        return a + b

    thing.__doc__ = docstring
    made = Tool.from_function(thing)
    assert made.description == "Thing"
    described = {name: schema["description"] for name, schema in made.parameters["properties"].items()}
    assert described == {"a": "the first of two", "b": "the second"}


def named(a: int) -> int:
    """Something."""
    return a


def test_a_cap_of_nothing_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="max_concurrent of named is 0"):
        Tool.from_function(named, max_concurrent=0)


def test_why_a_hint_cannot_be_told_is_said() -> None:
    def odd(a: sys.__class__) -> int:  # type: ignore[valid-type,name-defined]
        """Something."""
        return 0

    with pytest.raises(ToolDefinitionError, match="Unable to generate pydantic-core schema"):
        Tool.from_function(odd)


@pytest.mark.parametrize("module", [toolsets.tool, toolsets.docstrings])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
