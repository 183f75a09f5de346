"""All the words of a collaboration: what they become for these workers, and what a prompting.json may hold.

In: promptings, as values and as files. Out: texts, or one clear ValueError. Pure: no model. Neighbours:
`hogwild.prompting`; `test_collaboration.py` shows the words at work.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogwild.prompting import NAMES, SHARED_WORKSPACE, WORKSHEETS, Prompting, listed, parts


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["Alice"], "Alice"),
        (["Alice", "Bob"], "Alice and Bob"),
        (["Alice", "Bob", "Carol"], "Alice, Bob and Carol"),
    ],
)
def test_names_are_listed_as_in_a_sentence(names: list[str], text: str) -> None:
    assert listed(names) == text


@pytest.mark.parametrize("words", [SHARED_WORKSPACE, WORKSHEETS], ids=["shared", "worksheets"])
def test_no_placeholder_is_left_in_what_a_model_reads(words: Prompting) -> None:
    texts = [
        words.system(["Alice", "Bob"], ["gcd(a: int, b: int)"]),
        words.begin("Alice", ["Alice", "Bob"]),
        words.begin_step("Alice", 1),
        words.responded("42"),
        words.said("Bob", "hurry"),
        words.close_part(1, 3),
        words.check,
        words.closing,
        words.separator,
    ]
    assert not [text for text in texts if "{" in text or "}" in text]


def test_the_rules_name_all_workers() -> None:
    assert "Alice, Bob and Carol" in SHARED_WORKSPACE.system(["Alice", "Bob", "Carol"], [])


def test_tools_stand_in_the_rules_only_where_the_template_does_not_take_them() -> None:
    line = "gcd(a: int, b: int)"
    assert line in replace(SHARED_WORKSPACE, tools_in_template=False).system(["Alice"], [line])
    assert line not in replace(SHARED_WORKSPACE, tools_in_template=True).system(["Alice"], [line])
    assert "Tools" not in replace(SHARED_WORKSPACE, tools_in_template=False).system(["Alice"], [])


def test_a_header_names_the_worker_and_the_others() -> None:
    assert SHARED_WORKSPACE.begin("Bob", ["Alice", "Bob", "Carol"]).endswith("I am Bob; Alice and Carol can see this.")
    assert "nobody else" in SHARED_WORKSPACE.begin("Bob", ["Bob"])


def test_steps_are_counted_from_the_header_on() -> None:
    assert SHARED_WORKSPACE.begin("Bob", ["Bob"]).startswith("### Bob [1]")
    assert [SHARED_WORKSPACE.begin_step("Bob", finished) for finished in (1, 2)] == [
        "### Bob [2]\n\n",
        "### Bob [3]\n\n",
    ]


@pytest.mark.parametrize("hostile", ["{name}", "{content}", "{others} {tools} {0} {", "\\1 \\g<0> %s"])
def test_what_tools_and_people_say_is_put_in_as_it_is(hostile: str) -> None:
    words = Prompting(rules="{names}", tools="{tools}", tools_in_template=False, person="[{name}|{content}]")
    assert words.responded(hostile) == f"\n<tool_response>\n{hostile}\n</tool_response>\n"
    assert words.said("Bob", hostile) == f"[Bob|{hostile}]"
    assert words.system(["Bob"], [hostile]) == f"Bob{hostile}"


@given(items=st.integers(1, 60), workers=st.integers(1, 8))
def test_the_parts_of_a_joint_answer_cover_every_item_once_in_order(items: int, workers: int) -> None:
    shares = parts(items, NAMES[:workers])
    said = [item for first, last in shares.values() for item in range(first, last + 1)]
    assert said == list(range(1, items + 1))
    sizes = [last - first + 1 for first, last in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert list(shares) == list(NAMES[: len(shares)])


# As a file.


@pytest.mark.parametrize("words", [SHARED_WORKSPACE, WORKSHEETS], ids=["shared", "worksheets"])
def test_a_prompting_survives_json(words: Prompting, tmp_path: Path) -> None:
    (tmp_path / "prompting.json").write_text(json.dumps(words.to_json()), encoding="utf-8")
    assert Prompting.of_directory(tmp_path) == words


def test_a_field_that_is_left_out_keeps_its_default() -> None:
    assert Prompting.from_json({"rules": "Be brief."}) == Prompting(rules="Be brief.")


def test_a_model_without_a_prompting_brings_none(tmp_path: Path) -> None:
    assert Prompting.of_directory(tmp_path) is None


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"'heading'.*header"):
        Prompting.from_json({"rules": "", "heading": "x"})


_ILL_TYPED: list[dict[str, Any]] = [
    {"rules": 5},
    {"rules": None},
    {"rules": "", "check_every": "often"},
    {"rules": "", "closing_tokens": 1.5},
    {"rules": "", "tools_in_template": "yes"},
    {"rules": "", "step_end": ["\n"]},
    {"rules": "", "names": 3},
    {"rules": "", "names": [1, 2]},
]


@pytest.mark.parametrize("given", _ILL_TYPED, ids=str)
def test_an_ill_typed_field_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(given)[-1]):
        Prompting.from_json(given)


def test_rules_that_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match="rules"):
        Prompting.from_json({"header": "# {name}\n"})


@pytest.mark.parametrize("text", ["{", '{"rules": "x",}'])
def test_a_prompting_that_is_not_json_is_a_value_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "prompting.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        Prompting.of_directory(tmp_path)


def test_a_prompting_that_is_no_object_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "prompting.json").write_text("[]")
    with pytest.raises(ValueError, match=r"."):
        Prompting.of_directory(tmp_path)
