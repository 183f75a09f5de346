"""The twenty built-in tools: their examples, their limits, and laws that must hold for any numbers."""

import doctest
import math
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets import builtin
from toolsets.builtin import BUILTINS

NAMES = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "percent_of",
    "gcd",
    "lcm",
    "remainder",
    "is_prime",
    "digit_sum",
    "days_between",
    "add_days",
    "weekday",
    "reverse_text",
    "count_letter",
    "text_length",
    "convert_units",
    "mean",
    "median",
]

integers = st.integers(-(10**40), 10**40)
decimals = st.decimals(-(10**6), 10**6, places=3)


def function(name: str) -> Any:
    return BUILTINS[name].function


def test_there_are_exactly_these_twenty_tools() -> None:
    assert list(BUILTINS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_tool_are_true(name: str) -> None:
    finder = doctest.DocTestFinder(recurse=False)
    (examples,) = finder.find(function(name), name, globs=vars(builtin).copy())
    assert len(examples.examples) >= 2
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", NAMES)
def test_a_description_is_a_short_phrase_that_ends_with_a_period(name: str) -> None:
    first = (function(name).__doc__ or "").splitlines()[0]
    assert first == f"{BUILTINS[name].description}."
    assert 1 <= len(first.split()) <= 5


def test_descriptions_are_distinct() -> None:
    assert len({tool.description for tool in BUILTINS.values()}) == len(BUILTINS)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("divide", (1, 0), "Division by zero"),
        ("divide", (0.5, 0.0), "Division by zero"),
        ("remainder", (1, 0), "Division by zero"),
        ("power", (2, -1), "0 or more"),
        ("power", (9, 9**9), "more than 200 digits"),
        ("power", (10, 200), "more than 200 digits"),
        ("multiply", (10**150, 10**150), "more than 200 digits"),
        ("multiply", (1e200, 1e200), "more than 200 digits"),
        ("multiply", (1e250, 0.3), "more than 200 digits"),
        ("lcm", (10**150, 10**150 + 1), "more than 200 digits"),
        pytest.param("digit_sum", (10**5000,), "more than 200 digits", id="digits of a long number"),
        ("is_prime", (10**25,), "up to 24 digits"),
        ("days_between", ("2024-02-30", "2024-03-01"), "'2024-02-30' is not a day of the calendar"),
        ("weekday", ("yesterday",), "YYYY-MM-DD"),
        ("add_days", ("9999-12-31", 1), "outside the calendar"),
        ("add_days", ("2024-01-01", 10**30), "outside the calendar"),
        ("count_letter", ("abc", "ab"), "exactly one character"),
        ("count_letter", ("abc", ""), "exactly one character"),
        ("convert_units", (1, "km", "kg"), "give two units of one kind"),
        ("convert_units", (1, "km", "parsec"), "'parsec' is not a known unit"),
        ("mean", ([],), "at least one number"),
        ("median", ([],), "at least one number"),
    ],
)
def test_a_question_without_an_answer_is_refused_in_one_sentence(name: str, arguments: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        function(name)(*arguments)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("power", (10, 199), 10**199),
        ("power", (1, 10**30), 1),
        ("power", (-1, 10**30 + 1), -1),
        ("power", (0, 0), 1),
        ("power", (0, 7), 0),
        ("divide", (1, 32), 0.0313),
        ("divide", (-1, 32), -0.0313),
        ("divide", (1, 30000), 0.00003333),
        ("divide", (1e-300, 1e100), 0.0),
        ("mean", ([0.1, 0.2, 0.3],), 0.2),
        ("median", ([0.12345, 7, -1],), 0.12345),
        ("percent_of", (0.1, 0.3), 0.0003),
        ("is_prime", (3_317_044_064_679_887_385_961_979,), False),
        ("is_prime", (2**61 - 1,), True),
        ("is_prime", (3_215_031_751,), False),  # fools the bases 2, 3, 5 and 7
        ("is_prime", (-7,), False),
        ("convert_units", (-40, "F", "C"), -40),
        ("convert_units", (1, "lb", "oz"), 16),
        ("convert_units", (90, "min", "h"), 1.5),
        ("convert_units", (2, "gal", "L"), 7.5708),
        ("convert_units", (1, "s", "h"), 0.0003),
        ("convert_units", (12, "in", "ft"), 1),
        ("convert_units", (1, "cm", "mi"), 0.000006214),
        ("count_letter", ("Cafe\u0301 é", "É"), 2),
        ("reverse_text", ("e\u0301a",), "aé"),
        ("text_length", ("",), 0),
        ("weekday", (date(2026, 11, 23),), "Monday"),
        ("days_between", (date(2024, 1, 1), "2024-12-31"), 365),
    ],
)
def test_a_hard_case_has_its_exact_answer(name: str, arguments: Any, result: Any) -> None:
    answer = function(name)(*arguments)
    assert answer == result
    assert type(answer) is type(result)


@given(decimals, decimals)
def test_decimals_are_computed_as_they_are_written(a: Decimal, b: Decimal) -> None:
    for name, exact in (("add", a + b), ("subtract", a - b), ("multiply", a * b)):
        assert function(name)(float(a), float(b)) == float(exact)


@given(integers, integers)
def test_whole_numbers_are_exact_and_stay_whole(a: int, b: int) -> None:
    for name, exact in (("add", a + b), ("subtract", a - b), ("multiply", a * b), ("gcd", math.gcd(a, b))):
        result = function(name)(a, b)
        assert result == exact
        assert isinstance(result, int)


@given(decimals, decimals.filter(bool))
def test_a_quotient_is_off_by_at_most_half_of_its_fourth_decimal(a: Decimal, b: Decimal) -> None:
    quotient = function("divide")(float(a), float(b))
    assert abs(Decimal(repr(quotient)) - a / b) <= Decimal("0.00005")


@given(st.integers(0, 2000))
def test_primality_agrees_with_trial_division(n: int) -> None:
    assert function("is_prime")(n) == (n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1)))


@given(st.dates(), st.dates())
def test_adding_the_days_between_two_dates_leads_from_one_to_the_other(start: date, end: date) -> None:
    days = function("days_between")(start.isoformat(), end)
    assert timedelta(days=days) == end - start
    assert function("add_days")(start, days) == end


@given(st.lists(decimals, min_size=1, max_size=20))
def test_the_median_has_as_many_numbers_below_as_above(numbers: list[Decimal]) -> None:
    median = Decimal(repr(function("median")([float(number) for number in numbers])))
    assert sum(number < median for number in numbers) <= len(numbers) / 2
    assert sum(number > median for number in numbers) <= len(numbers) / 2
