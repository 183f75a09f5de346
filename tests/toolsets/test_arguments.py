"""Arguments against a tool's schema: what is forgiven, and how a misfit is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets import ArgumentError, Tool
from toolsets.arguments import fit_arguments


def sample(
    n: int = 0,
    x: float = 0,
    s: str = "",
    d: date = date(2024, 1, 1),
    flag: bool = False,
    items: list[float] = [],  # noqa: B006
) -> int:
    """Takes anything."""
    return n


def one(a: int, b: int = 2) -> int:
    """Takes one or two."""
    return a + b


SAMPLE = Tool.from_function(sample)
ONE = Tool.from_function(one)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.binary(),
    lambda children: st.lists(children) | st.tuples(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("n", 3, 3),
        ("n", 3.0, 3),
        ("n", "3", 3),
        ("n", " -3 ", -3),
        ("n", "3.0", 3),
        ("n", 10**400, 10**400),
        ("x", 3, 3),
        ("x", 2.5, 2.5),
        ("x", "2.5", 2.5),
        ("x", "-1e-3", -0.001),
        ("s", "3", "3"),
        ("d", "2024-02-29", date(2024, 2, 29)),
        ("d", date(2024, 2, 29), date(2024, 2, 29)),
        ("d", datetime(2024, 2, 29, 12), date(2024, 2, 29)),
        ("flag", True, True),
        ("flag", "no", False),
        ("items", [1, "2", 3.5], [1, 2, 3.5]),
        ("items", (1, 2), [1, 2]),
        ("items", "[1, 2]", [1, 2]),
    ],
)
def test_an_argument_that_plainly_fits_is_taken(name: str, given_value: Any, value: Any) -> None:
    fitted = fit_arguments(SAMPLE, {name: given_value})
    assert fitted == {name: value}
    assert type(fitted[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("n", 3.5, "n of sample must be a whole number, not 3.5."),
        ("n", "three", "n of sample must be a whole number, not 'three'."),
        ("n", "1_000", "n of sample must be a whole number, not '1_000'."),
        ("n", "٣", "n of sample must be a whole number, not '٣'."),
        ("n", True, "n of sample must be a whole number, not true."),
        ("n", None, "n of sample must be a whole number, not nothing (null)."),
        ("n", 1e300, "n of sample must be a whole number, not 1e+300."),
        ("x", float("nan"), "x of sample must be a number, not nan."),
        ("x", float("-inf"), "x of sample must be a number, not -inf."),
        ("x", "nan", "x of sample must be a number, not 'nan'."),
        ("x", "1e999", "x of sample must be a number, not '1e999'."),
        ("x", False, "x of sample must be a number, not false."),
        ("x", {"v": 1}, "x of sample must be a number, not {'v': 1}."),
        ("s", 3, "s of sample must be a text, not 3."),
        pytest.param("s", 10**5000, "s of sample must be a text, not a very long int.", id="long int"),
        ("s", ["x" * 50], f"s of sample must be a text, not ['{'x' * 38}...."),
        ("d", "2024-02-30", "d of sample must be a date as YYYY-MM-DD, not '2024-02-30'."),
        ("d", 20240229, "d of sample must be a date as YYYY-MM-DD, not 20240229."),
        ("flag", 1, "flag of sample must be true or false, not 1."),
        ("items", "1, 2", "items of sample must be a list, not '1, 2'."),
        ("items", "[" * 100_000, f"items of sample must be a list, not '{'[' * 39}...."),
        ("items", [1, "two"], "items[1] of sample must be a number, not 'two'."),
    ],
)
def test_a_misfit_is_told_in_one_sentence(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        fit_arguments(SAMPLE, {name: value})
    assert str(caught.value) == sentence


@dataclass
class Point:
    x: int
    y: int


class Unit(Enum):
    METRE = "m"


def typed(
    point: Point,
    unit: Unit,
    names: list[str],
    weights: list[float],
    count: int,
    maybe: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as much code has it
) -> int:
    """Takes records, choices and lists."""
    return count


TYPED = Tool.from_function(typed)


def test_what_a_tool_returned_fits_as_what_it_is_told_as() -> None:
    given = {
        "point": Point(1, 2),
        "unit": Unit.METRE,
        "names": {Path("b"), Path("a")},
        "weights": np.array([0.5, 1.0]),
        "count": Decimal("3.0"),
    }
    fitted = fit_arguments(TYPED, given)
    assert fitted == given | {"names": ["a", "b"], "weights": [0.5, 1.0], "count": 3}
    assert [type(one) for one in (*fitted["weights"], fitted["count"])] == [float, float, int]
    for bad in (Decimal("NaN"), Decimal("1e999999"), Fraction(1, 3), np.array([1])):
        with pytest.raises(ArgumentError, match="must be a whole number"):
            fit_arguments(TYPED, given | {"count": bad})


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise RuntimeError(f"{self.n} is odd.")


def gathered(numbers: Iterable[int], even: Even) -> int:
    """Takes what can be iterated, and what refuses in its own way."""
    return sum(numbers)


def test_whatever_a_class_makes_of_a_value_that_it_refuses_is_a_sentence() -> None:
    tool = Tool.from_function(gathered)
    assert fit_arguments(tool, {"numbers": [1, "2"], "even": {"n": 2}}) == {"numbers": [1, 2], "even": Even(2)}
    for arguments, said in (
        ({"numbers": [], "even": {"n": 3}}, "even of gathered does not fit: 3 is odd."),
        ({"numbers": [1, "x"], "even": {"n": 2}}, "numbers[1] of gathered must be a whole number, not 'x'."),
    ):
        with pytest.raises(ArgumentError) as caught:
            fit_arguments(tool, arguments)
        assert str(caught.value) == said


def test_a_default_of_none_may_be_written_out_whatever_the_hint_says() -> None:
    given = {"point": {"x": 1, "y": 2}, "unit": "m", "names": [], "weights": [], "count": 1}
    assert fit_arguments(TYPED, given | {"maybe": None})["maybe"] is None
    with pytest.raises(ArgumentError, match="nothing"):
        fit_arguments(TYPED, given | {"count": None})


def test_a_missing_argument_is_named_with_the_signature() -> None:
    with pytest.raises(ArgumentError) as caught:
        fit_arguments(ONE, {"b": 1})
    assert str(caught.value) == "one needs the parameter 'a': call it as one(a: int, b: int = 2)."


def test_an_unknown_argument_is_named_with_the_signature() -> None:
    with pytest.raises(ArgumentError) as caught:
        fit_arguments(ONE, {"a": 1, "c": 1})
    assert str(caught.value) == "one has no parameter 'c': call it as one(a: int, b: int = 2)."


@given(st.dictionaries(st.sampled_from(["n", "x", "s", "d", "flag", "items"]) | st.text(max_size=3), anything))
def test_any_arguments_fit_or_are_refused_in_one_line(arguments: dict[str, Any]) -> None:
    sentence = ""
    try:
        fitted = fit_arguments(SAMPLE, arguments)
        assert fit_arguments(SAMPLE, fitted) == fitted
    except ArgumentError as error:
        sentence = str(error)
    assert not sentence or (sentence.endswith(".") and "\n" not in sentence)
