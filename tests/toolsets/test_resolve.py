"""Results in the place of references: typed, in one pass, and precise about what is missing."""

import doctest
from collections import namedtuple
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolsets.resolve
from toolsets.errors import ResultPathError
from toolsets.plan import Ref, Template
from toolsets.resolve import resolve


@dataclass
class Point:
    x: float
    y: float

    def secret(self) -> str:
        return "not a field"


Pair = namedtuple("Pair", "left right")

RESULTS: dict[str, Any] = {
    "1": {"rows": [{"name": "Rome", "first name": 1}, {"name": "Oslo"}], "7": "seven"},
    "2": "it costs $15, see $1 and ${1.rows}",
    "3": date(2024, 2, 29),
    "4": Point(1, 2),
    "5": Pair("l", "r"),
    "6": 0.5,
    "none": None,
    "set": {10, 9},
    "array": np.arange(3),
    "frame": pd.DataFrame({"n": [1, 2]}),
}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        (Ref("6"), 0.5),
        (Ref("3"), date(2024, 2, 29)),
        (Ref("none"), None),
        (Ref("1", ("rows", 0, "name")), "Rome"),
        (Ref("1", ("rows", -1, "name")), "Oslo"),
        (Ref("1", ("rows", 0, "first name")), 1),
        (Ref("1", (7,)), "seven"),
        (Ref("4", ("x",)), 1),
        (Ref("5", ("right",)), "r"),
        (Ref("5", (0,)), "l"),
        (Ref("set", (0,)), 9),
        (Ref("array", (2,)), 2),
        (Ref("frame", (1, "n")), 2),
        ([{"a": Ref("6")}, "$6"], [{"a": 0.5}, "$6"]),
        (Template(("half is ", Ref("6"), ", ", Ref("3"))), "half is 0.5, 2024-02-29"),
        (Template((Ref("1", ("rows", 0)),)), '{"name": "Rome", "first name": 1}'),
    ],
)
def test_a_reference_becomes_the_value_and_a_template_the_text(value: Any, resolved: Any) -> None:
    assert resolve({"a": value}, RESULTS) == {"a": resolved}


def test_what_a_result_brings_along_is_never_read_again() -> None:
    assert resolve({"a": Ref("2"), "b": Template(("> ", Ref("2")))}, RESULTS) == {
        "a": RESULTS["2"],
        "b": f"> {RESULTS['2']}",
    }


@given(st.text())
def test_any_text_comes_through_unchanged(text: str) -> None:
    assert resolve({"a": [Ref("1")], "b": text}, {"1": text}) == {"a": [text], "b": text}


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        (Ref("9"), "$9 cannot be looked up: call 9 has no result here."),
        (Ref("1", ("cols",)), "$1.cols does not exist: $1 is a record with rows, 7."),
        (Ref("1", ("rows", 5)), "$1.rows[5] does not exist: $1.rows is a list of 2."),
        (Ref("1", ("rows", "name")), "$1.rows.name does not exist: $1.rows is a list of 2."),
        (Ref("2", (0,)), "$2[0] does not exist: $2 is a text without parts."),
        (Ref("6", ("real",)), "$6.real does not exist: $6 is a number without parts."),
        (Ref("4", ("secret",)), "$4.secret does not exist: $4 is a record with x, y."),
        (Ref("4", ("__class__",)), "$4.__class__ does not exist: $4 is a record with x, y."),
        (Ref("array", (5,)), "$array[5] does not exist: $array is a list of 3."),
        (Ref("none", ("x",)), "$none.x does not exist: $none is nothing without parts."),
    ],
)
def test_a_path_that_does_not_exist_is_told_in_one_sentence(ref: Ref, sentence: str) -> None:
    with pytest.raises(ResultPathError) as caught:
        resolve({"a": Template(("x", ref))}, RESULTS)
    assert str(caught.value) == sentence


def test_the_example_in_the_docstring_is_true() -> None:
    failed, attempted = doctest.testmod(toolsets.resolve)
    assert attempted > 0
    assert failed == 0
