"""The direct executor: results, failures that never become exceptions, and the text that a worker reads."""

import enum
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolsets import BUILTINS, BrokenCall, CallResult, Tool, ToolCall, parse_tool_call, render_result, run_direct
from toolsets.direct import MAX_TEXT, whole


class Unit(enum.Enum):
    METRE = "m"


@dataclass
class Point:
    x: int
    unit: Unit


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, "")


def run(function: Any) -> CallResult:
    function.__doc__ = "Whatever."
    tool = Tool.from_function(function)
    return run_direct(call(tool.name), {tool.name: tool})


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("gcd", {"a": 12, "b": "18"}, "6"),
        ("add", {"a": 0.1, "b": 0.2}, "0.3"),
        ("add", {"a": 1.5, "b": 1.5}, "3"),
        ("divide", {"a": 2, "b": 3}, "0.6667"),
        ("is_prime", {"n": 97}, "yes"),
        ("is_prime", {"n": 91.0}, "no"),
        ("add_days", {"day": "2024-02-28", "days": 2}, "2024-03-01"),
        ("weekday", {"day": date(2024, 2, 29)}, "Thursday"),
        ("median", {"numbers": [4, 1, 3, 2]}, "2.5"),
        ("convert_units", {"value": 5, "unit": "km", "to": "mi"}, "3.1069"),
        ("reverse_text", {"text": "planet"}, "tenalp"),
    ],
)
def test_a_call_of_a_builtin_gives_its_text(name: str, arguments: dict[str, Any], text: str) -> None:
    result = run_direct(call(name, **arguments), BUILTINS)
    assert (result.status, result.text, result.error) == ("succeeded", text, None)
    assert render_result(result.value) == text


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (call("gcd", a=12), "gcd needs the parameter 'b': call it as gcd(a: int, b: int)."),
        (call("gcd", a=12, b=18, c=1), "gcd has no parameter 'c': call it as gcd(a: int, b: int)."),
        (call("gcd", a=12, b=1.5), "b of gcd must be a whole number, not 1.5."),
        (call("mean", numbers=["x"]), "numbers[0] of mean must be a number, not 'x'."),
        (call("divide", a=1, b=0), "Division by zero has no result: give another divisor."),
        (BrokenCall("{", "The call is not JSON."), "The call is not JSON."),
    ],
)
def test_a_failed_call_says_why_in_one_sentence(broken: Any, error: str) -> None:
    result = run_direct(broken, BUILTINS)
    assert (result.status, result.value, result.error) == ("failed", None, error)
    assert result.text == f"failed: {error}"


def test_an_unknown_tool_is_answered_with_the_names_that_exist() -> None:
    tools = {name: BUILTINS[name] for name in ("lcm", "gcd")}
    assert run_direct(call("sqrt"), tools).error == "There is no tool 'sqrt': use one of gcd, lcm."
    assert run_direct(call("sqrt"), {}).error == "There is no tool 'sqrt': no tools are offered here."
    many = {f"tool{index:03}": BUILTINS["gcd"] for index in range(200)}
    error = run_direct(call("x" * 10_000), many).error
    assert error is not None
    assert error.endswith("tool029 and 170 more.")
    assert len(error) < 500


def test_a_tool_that_refuses_gives_its_own_words() -> None:
    def refuse() -> int:
        raise ValueError("The moon is not full.")

    assert run(refuse).error == "The moon is not full."


def test_a_tool_that_breaks_is_told_with_the_type_of_its_exception() -> None:
    def broken() -> int:
        raise KeyError("moon")

    def leaving() -> int:
        raise SystemExit(3)

    def endless() -> int:
        return endless()

    def silent() -> int:
        raise RuntimeError

    assert run(broken).error == "broken broke with KeyError: 'moon'"
    assert run(leaving).error == "leaving broke with SystemExit: 3"
    assert (run(endless).error or "").startswith("endless broke with RecursionError: ")
    assert run(silent).error == "silent broke with RuntimeError: it gave no message"


def test_a_value_that_cannot_be_rendered_is_a_failure() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def strange() -> str:
        return Unprintable()  # type: ignore[return-value]

    def endless_list() -> list[Any]:
        inner: list[Any] = []
        inner.append(inner)
        return inner

    assert run(strange).status == "failed"
    assert run(endless_list).error == "The result holds itself or is nested too deeply: return a flat list or record."


def test_ctrl_c_in_a_tool_reaches_the_person() -> None:
    def stuck() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stuck)


def test_a_long_result_is_cut_with_a_note() -> None:
    def chatty() -> str:
        return "x" * (MAX_TEXT + 1234)

    def full() -> str:
        return "x" * MAX_TEXT

    result = run(chatty)
    assert result.text == "x" * MAX_TEXT + "\n[cut: 1,234 more characters]"
    assert len(result.value) == MAX_TEXT + 1234
    assert run(full).text == "x" * MAX_TEXT


def test_a_long_error_is_cut_too() -> None:
    def chatty() -> str:
        raise ValueError("x" * 100_000)

    assert len(run(chatty).text) < MAX_TEXT + 100


def test_the_time_of_a_call_is_measured_with_the_given_clock() -> None:
    ticks = itertools.count(10.0, 2.5)
    assert run_direct(call("gcd", a=1, b=2), BUILTINS, clock=lambda: next(ticks)).wall_s == 2.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (-0.0, "0"),
        (2.50, "2.5"),
        (3.0, "3"),
        (1 / 3, "0.333333"),
        (1234567.891, "1234567.891"),
        (0.012345678, "0.0123457"),
        (1e-9, "0.000000001"),
        (1e-20, "1e-20"),
        (-1.5e300, "-1.5e+300"),
        (float("inf"), "infinity"),
        (float("nan"), "nan"),
        (Decimal("1.10"), "1.1"),
        (Fraction(1, 3), "1/3"),
        (True, "yes"),
        (False, "no"),
        (None, "none"),
        ("a\nb", "a\nb"),
        ("\ud800", "\ufffd"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 12, 30), "2024-02-29 12:30:00"),
        ([1, 2.0], "[1, 2]"),
        ((True, date(2024, 2, 29), "x"), '[yes, 2024-02-29, "x"]'),
        ([], "[]"),
        ({"a": [1], "b": None}, '{"a": [1], "b": none}'),
        (Point(1, Unit.METRE), '{"x": 1, "unit": "m"}'),
        ({10, 9, 2.5}, "[2.5, 9, 10]"),
        ({"pear", "apple", "fig"}, '["apple", "fig", "pear"]'),
        pytest.param(10**5000, "a whole number of about 5,000 digits", id="huge"),
        (np.arange(4).reshape(2, 2), "[[0, 1], [2, 3]]"),
        ([np.float32(0.5), np.float64(1.5), np.bool_(True)], "[0.5, 1.5, yes]"),
        ([Path(os.fsdecode(b"a\xff"))], '["a\ufffd"]'),
        (pd.DataFrame({"n": [1, 2], "t": ["a", "b"]}), '[{"n": 1, "t": "a"}, {"n": 2, "t": "b"}]'),
    ],
)
def test_a_value_is_rendered_shortly(value: Any, text: str) -> None:
    assert render_result(value) == text


def test_a_generator_is_told_by_what_it_gives() -> None:
    def some(n: int) -> Iterator[int]:
        yield from range(n)

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("No second one.")

    assert whole(some(3)) == [0, 1, 2]
    assert run(broken).error == "No second one."
    with pytest.raises(ValueError, match="more than 100,000 items"):
        whole(itertools.count())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_rendered_number_keeps_six_digits(value: float) -> None:
    text = render_result(value)
    assert len(text) < 30
    assert float(text) == pytest.approx(value, rel=1e-5)
    assert "." not in text or not text.endswith("0") or "e" in text


@given(st.text(), st.dictionaries(st.text(), st.none() | st.integers() | st.floats() | st.text() | st.lists(st.text())))
def test_no_call_makes_the_executor_raise(name: str, arguments: dict[str, Any]) -> None:
    for tool in (name, *BUILTINS):
        assert run_direct(ToolCall(tool, arguments, ""), BUILTINS).status in ("succeeded", "failed")


@given(
    st.sampled_from(sorted(BUILTINS)),
    st.lists(
        st.integers() | st.floats() | st.text() | st.dates() | st.lists(st.integers() | st.floats()),
        min_size=3,
        max_size=3,
    ),
)
def test_a_builtin_answers_or_refuses_but_never_breaks(name: str, values: list[Any]) -> None:
    parameters = BUILTINS[name].parameters["properties"]
    result = run_direct(call(name, **dict(zip(parameters, values, strict=False))), BUILTINS)
    assert "broke with" not in (result.error or "")


def test_a_text_becomes_a_result_by_parsing_and_running() -> None:
    text = "{'name': 'days_between', 'arguments': {'start': '2024-02-28', 'end': '2024-03-01'}"
    assert run_direct(parse_tool_call(text), BUILTINS).text == "2"
