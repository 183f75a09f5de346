"""References in texts: what is one, what stays text, and that writing one down and reading it gives it back."""

import doctest
from typing import Any

import pytest

import toolsets.fronts.references as references
from toolsets.fronts.references import read_references, read_text, write_text
from toolsets.plan import Ref, Template

KNOWN = {"1", "12", "rome", "call_1", "call-2"}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("$1", Ref("1")),
        ("${1}", Ref("1")),
        ("$9", Ref("9")),
        ("$1.field", Ref("1", ("field",))),
        ("$1[0].name", Ref("1", (0, "name"))),
        ("$1[-1]", Ref("1", (-1,))),
        ('$1["first name"][2]', Ref("1", ("first name", 2))),
        ("$1['a b']", Ref("1", ("a b",))),
        ("${1.rows[0]}", Ref("1", ("rows", 0))),
        ("$rome.lat", Ref("rome", ("lat",))),
        ("${call-2}", Ref("call-2")),
        ("$call_1", Ref("call_1")),
        ("It is $1.", Template(("It is ", Ref("1"), "."))),
        ("$1 and ${9}", Template((Ref("1"), " and ", Ref("9")))),
        ("${1}.png", Template((Ref("1"), ".png"))),
        ("$1$12", Template((Ref("1"), Ref("12")))),
        ("$$$1", Template(("$", Ref("1")))),
    ],
)
def test_a_reference_is_read_wherever_it_stands(text: str, read: Any) -> None:
    assert read_text(text, KNOWN) == read


@pytest.mark.parametrize(
    "text",
    [
        "It costs $15",
        "$1.50",
        "$1,000",
        "$5k",
        "$HOME/$PATH",
        "$HOME",
        "${HOME}",
        "$",
        "$$",
        "a$",
        "$ 1",
        "$-1",
        "$01",
        "US$9",
    ],
)
def test_sums_of_money_and_names_of_other_things_stay_text(text: str) -> None:
    assert read_text(text, KNOWN) == text


@pytest.mark.parametrize(
    ("text", "plain"), [("$$1", "$1"), ("a $$12 b", "a $12 b"), ("$${1}", "${1}"), ("$$rome", "$rome")]
)
def test_a_doubled_dollar_is_a_dollar(text: str, plain: str) -> None:
    assert read_text(text, KNOWN) == plain
    assert read_text(write_text(plain, KNOWN), KNOWN) == plain


def test_references_are_found_at_any_depth() -> None:
    read = read_references({"a": [1, {"b": ["$1[0]", None]}], "c": "$rome!"}, KNOWN)
    assert read == {"a": [1, {"b": [Ref("1", (0,)), None]}], "c": Template((Ref("rome"), "!"))}


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, attempted = doctest.testmod(references)
    assert attempted > 0
    assert failed == 0
