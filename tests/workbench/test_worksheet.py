"""A worksheet as people type it, and answers as workers write them.

In: text of every kind. Out: items, answers, claims, or a UsageError; nothing else is ever raised. Pure. Neighbours:
`workbench.worksheet`.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.worksheet import (
    MAX_TASK_CHARS,
    Task,
    added_items,
    amid_item,
    answered,
    answers_in,
    claims_in,
    read_task,
    skipped_in,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Also control signs and lone surrogates."""
LINES = st.lists(st.sampled_from(["1. What?", "2) How?", "3: Why?", "", "  ", "\t12.  x ", "no number", "1.", "4."]))


def questions(task: Task) -> list[str]:
    return [item["question"] for item in task.items]


@pytest.mark.parametrize("line", ["1. What?", "1) What?", "1: What?", "  1.   What?  ", "001. What?", "\t7 . What?"])
def test_a_numbered_line_is_an_item_however_it_is_numbered(line: str) -> None:
    assert read_task(line) == Task("1. What?", ({"item": 1, "question": "What?"},))


@pytest.mark.parametrize(
    "line", ["1.What?", "What is 1. something", "1234. What?", "1. ", "1.5 litres?", "- What?", "a. b"]
)
def test_other_lines_are_no_items(line: str) -> None:
    assert read_task(line) == Task(line.strip())


def test_items_are_counted_from_one_in_the_order_they_stand_in() -> None:
    task = read_task("3. c\n\n  9) a\r\n3: b\n")
    assert [(item["item"], item["question"]) for item in task.items] == [(1, "c"), (2, "a"), (3, "b")]
    assert task.text == "1. c\n2. a\n3. b"


def test_a_text_with_some_numbered_lines_is_one_task_unless_every_line_is_an_item() -> None:
    text = "Solve these.\n1. What?\n2. How?"
    assert read_task(text) == Task(text)
    assert questions(read_task(text, always_items=True)) == ["Solve these.", "What?", "How?"]


def test_a_single_line_is_one_item_for_a_model_that_only_knows_lists() -> None:
    task = read_task("What is the gcd of 84 and 126", always_items=True)
    assert len(task.items) == 1
    assert task.text.startswith("1. What is")


def test_several_questions_in_a_line_are_items_for_a_model_that_only_knows_lists() -> None:
    line = "What is the gcd of 84 and 126?  Is 97 a prime number?"
    assert questions(read_task(line, always_items=True)) == ["What is the gcd of 84 and 126?", "Is 97 a prime number?"]
    assert read_task(line) == Task(line)


@pytest.mark.parametrize(
    "line",
    [
        "What is 15 percent of 240? What is 5 more than that?",
        "Is 97 prime? If so, what is 97 + 3?",
        "What is 3 + 4? Then add 5.",
        "Spell lantern backwards. Is 97 prime?",
        "Reverse 'Why? Because'",
        "1. What is 3 + 4? Is 97 prime?",
    ],
)
def test_a_line_whose_parts_belong_together_is_one_item(line: str) -> None:
    assert len(questions(read_task(line, always_items=True))) == 1


@pytest.mark.parametrize("text", ["- 3+4\n- 5*6", "* 3+4\n\n  * 5*6", "\u2022 3+4\n\u2022 5*6", "- 1. 3+4\n- 2. 5*6"])
def test_bullets_are_no_part_of_a_question(text: str) -> None:
    assert questions(read_task(text, always_items=True)) == ["3+4", "5*6"]


@pytest.mark.parametrize("text", ["Solve these:\n1. 3+4\n2. 5*6", "Please:\n\n- 3+4\n- 5*6"])
def test_a_heading_is_no_question(text: str) -> None:
    assert questions(read_task(text, always_items=True)) == ["3+4", "5*6"]
    assert questions(read_task(text.rpartition("\n")[0], always_items=True)) == ["3+4"]


@pytest.mark.parametrize("text", ["Add these:\n3 and 4", "This:", "1. This:\n2. That"])
def test_a_colon_alone_makes_no_heading(text: str) -> None:
    assert len(questions(read_task(text, always_items=True))) == len(text.splitlines())


@pytest.mark.parametrize("text", ["- 3 + 4", "- 3\n4", "-3\n-4"])
def test_a_minus_is_no_bullet(text: str) -> None:
    assert questions(read_task(text, always_items=True)) == text.splitlines()


@pytest.mark.parametrize("text", ["1) 3+4? 2) 5*6", "1. 3+4? 2. 5*6", " 1)  3+4?   2)  5*6 "])
@pytest.mark.parametrize("always", [True, False])
def test_a_line_that_numbers_its_questions_is_a_list(text: str, always: bool) -> None:
    assert questions(read_task(text, always_items=always)) == ["3+4?", "5*6"]


@pytest.mark.parametrize(
    "text",
    ["1. 3+4", "1. See 2) here", "What is 1) a 2) b", "1. a 3. b", "2. a 3. b", "1. is 2.5 kg", "1. Add 1 and 2. Why?"],
)
def test_other_numbers_in_a_line_begin_no_item(text: str) -> None:
    assert len(questions(read_task(text, always_items=True))) == 1


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\r\n", "\u2003\u00a0"])
@pytest.mark.parametrize("always", [True, False])
def test_a_task_without_a_word_is_empty(text: str, always: bool) -> None:
    with pytest.raises(UsageError, match="empty"):
        read_task(text, always_items=always)


@pytest.mark.parametrize(
    "text",
    ["\0", "1. What\0?", "\x7fELF\x02\x01\x01" + "\x03\x08" * 40, "".join(map(chr, range(1, 32))) * 3, "\ud800" * 90],
)
def test_binary_data_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="binary"):
        read_task(text)


def test_a_task_may_be_as_long_as_is_said_and_no_longer() -> None:
    assert read_task("x" * MAX_TASK_CHARS).text == "x" * MAX_TASK_CHARS
    with pytest.raises(UsageError, match=r"200,001 characters and may have 200,000"):
        read_task("x" * (MAX_TASK_CHARS + 1))


def test_text_in_any_script_is_a_question() -> None:
    assert questions(read_task("1. Сколько будет 2 + 2?\n٢. كم؟\n3. 何ですか 👩‍👩‍👧?"))[0] == "Сколько будет 2 + 2?"


def test_a_byte_order_mark_is_not_a_part_of_the_first_question() -> None:
    assert questions(read_task("\ufeff1. What?\n2. How?")) == ["What?", "How?"]


@settings(deadline=None)
@given(ANY_TEXT, st.booleans())
@example("1. \u2028x", True)
@example("1.\x851. y", False)
def test_any_text_is_a_task_or_a_usage_error(text: str, always: bool) -> None:
    try:
        task = read_task(text, always_items=always)
    except UsageError:
        return
    assert [item["item"] for item in task.items] == list(range(1, len(task.items) + 1))
    assert all(question.strip() for question in questions(task))
    assert task.items or not always


@given(LINES, st.booleans())
def test_a_task_that_has_been_read_reads_as_itself(lines: list[str], always: bool) -> None:
    try:
        task = read_task("\n".join(lines), always_items=always)
    except UsageError:
        return
    assert read_task(task.text, always_items=always) == task


# Answers.


def test_the_joint_answers_lines_are_read_and_the_last_one_counts() -> None:
    text = "Answer 1: 42\n2: yes, it is\n 3 :  a: b \nsomething 4: no\n2: no\n5:\n"
    assert answers_in(text) == {1: "42", 2: "no", 3: "a: b"}


def test_an_empty_answer_line_is_no_answer() -> None:
    assert answers_in("1:\n2: x") == {2: "x"}


def test_claims_are_read_in_order() -> None:
    assert claims_in("I take 3: a.\n\nI take 12.\nI take 3 again, I take four, I take 1234") == [3, 12, 3]


ITEMS = read_task("1. a\n2. b\n3. c").items


def test_an_answer_is_the_joint_one_else_the_workers_own() -> None:
    lanes = {
        "Alice": "I take 1.\n<tool_response>42</tool_response>\nAnswer 1: 42\n\n",
        "Bob": "Answer 2: 7\nAnswer 2: 8",
    }
    found = answered(ITEMS, "1: 43", lanes)
    assert [(one["item"], one["answer"], one["worker"]) for one in found] == [
        (1, "43", "Alice"),
        (2, "8", "Bob"),
        (3, None, None),
    ]
    assert [one["question"] for one in found] == ["a", "b", "c"]


def test_an_item_that_the_joint_answer_skips_has_no_answer_but_the_workers_own() -> None:
    found = answered(ITEMS, "1: skipped\n2: skipped\n3: skipped stones", {"Alice": "Answer 2: 8"}, skipped="skipped")
    assert [one["answer"] for one in found] == [None, "8", "skipped stones"]


def test_the_first_worker_that_answered_an_item_is_named() -> None:
    assert answered(ITEMS, "", {"Alice": "", "Bob": "Answer 1: 2", "Carol": "Answer 1: 3"})[0]["worker"] == "Bob"


def test_an_answer_to_an_item_that_is_not_there_is_left_out() -> None:
    assert all(one["answer"] is None for one in answered(ITEMS, "9: 1", {"Alice": "Answer 7: 2"}))


@settings(deadline=None)
@given(ANY_TEXT, st.dictionaries(st.sampled_from(["Alice", "Bob"]), ANY_TEXT))
@example("٣: x", {"Alice": "Answer ٣: y"})
@example("1: ", {"Alice": "Answer 1: \u2028"})
def test_no_text_of_a_worker_makes_reading_its_answers_fail(joint: str, lanes: dict[str, str]) -> None:
    found = answered(ITEMS, joint, lanes)
    assert [one["item"] for one in found] == [1, 2, 3]
    assert all(one["answer"] is None or one["answer"].strip() for one in found)
    claims_in(joint)


def test_items_that_a_person_added_are_those_taken_and_answered_after_the_tasks_own() -> None:
    lanes = [
        "I take 1: What?\n\nAnswer 1: 5\n\nI take 3: And how?\n\nAnswer 3: so\n\n",
        "I take 4: Why?\n\nAnswer 4: no",
    ]
    assert added_items(2, lanes) == ({"item": 3, "question": "And how?"}, {"item": 4, "question": "Why?"})
    assert added_items(1, lanes) == ()  # 2 was not taken, so 3 is no item after 1
    assert added_items(2, ["I take 3: And how?\n\n"]) == ()


@pytest.mark.parametrize(
    ("text", "amid"),
    [("", False), ("I take 2", True), ("I take 2: What?\n\n", True), ("I take 2: What?\n\nAnswer 2: 5\n\n", False)],
)
def test_a_worker_is_amid_an_item_from_its_claim_to_its_answer(text: str, amid: bool) -> None:
    assert amid_item(text) is amid


def test_what_a_joint_answer_says_was_skipped() -> None:
    assert skipped_in("1: 4\n2: skipped\n", "skipped") == {2}
    assert skipped_in("1: 4\n2: skipped\n", "") == set()
