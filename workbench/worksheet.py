"""A task that is a list of questions: found in what a person typed, and its answers in what workers wrote.

In: text. Out: plain values. Pure. Neighbours: `driver` parses the task before a run and the answers after it.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.errors import UsageError
from workbench.events import AnsweredItem, Item

MAX_TASK_CHARS = 200_000
_NUMBERED = re.compile(r"^\s*(\d{1,3})\s*[.):]\s+(.*\S)\s*$")
_BULLET = re.compile(r"^\s*[-*\u2022\u2013]\s+(.*\S)\s*$")
_IN_LINE = re.compile(r"(?:^|(?<=\s))(\d{1,3})([.)])\s+(?=\S)")
_REFERS_BACK = re.compile(
    r"\b(it|its|this|that|these|those|they|them|their|there|if|then|so|same|former|latter|first|second|other|both|"
    r"results?|answers?)\b",
    re.IGNORECASE,
)
_JOINT = re.compile(r"^[ \t]*(?:Answer[ \t]+)?(\d{1,3})[ \t]*:[ \t]*(.*\S)[ \t]*$", re.MULTILINE)
# A worker's line may follow a call on the same line, where the result stood.
_OWN = re.compile(r"\bAnswer (\d{1,3}):[ \t]*(.*\S)")
_CLAIMED = re.compile(r"\bI take (\d{1,3})\b(?:: (.*\S))?")


@dataclass(frozen=True, slots=True)
class Task:
    """The text as a model gets it, and its items, empty where it is no list."""

    text: str
    items: tuple[Item, ...] = ()


def read_task(text: str, *, always_items: bool = False) -> Task:
    """A task as it was typed. Numbered lines are items, and so is what is numbered from 1 within a single line; with
    `always_items` every line is one, without its bullet where all have one, but a heading that ends with a colon, and
    a single line that asks several questions is as many.

    Raises UsageError for a task that is no text, empty, binary or absurdly long.
    """
    if not isinstance(text, str):
        raise UsageError(f"The task must be text; it is {text!r:.60}.")
    text = text.removeprefix("\ufeff")  # a byte-order mark
    if "\0" in text or sum(not (c.isprintable() or c.isspace()) for c in text[:4000]) > 40:
        raise UsageError("The task is not text (it holds binary data): give a plain text file or a quoted task.")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError(
            "The task is not valid Unicode (it may have been typed in another encoding): give it as UTF-8."
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError("The task is empty: type at least one question.")
    if len(text) > MAX_TASK_CHARS:
        raise UsageError(f"The task has {len(text):,} characters and may have {MAX_TASK_CHARS:,}: shorten it.")
    numbered = [match.group(2) for line in lines if (match := _NUMBERED.match(line))]
    if len(lines) == 1 and (inner := _numbered_within(lines[0])):
        questions = inner
    elif len(numbered) == len(lines):
        questions = numbered
    elif always_items:
        headed = lines[0].endswith(":") and all(_NUMBERED.match(x) or _BULLET.match(x) for x in lines[1:])
        if headed and len(lines) > 1:
            lines = lines[1:]
        # "- 5" alone may be a number.
        bullets = [match.group(1) for line in lines if (match := _BULLET.match(line))]
        bulleted = len(bullets) == len(lines) and (headed or len(lines) > 1)
        plain = bullets if bulleted else _questions_within(lines[0]) if len(lines) == 1 else lines
        questions = [match.group(2) if (match := _NUMBERED.match(line)) else line for line in plain]
    else:
        return Task(text.strip())
    items = tuple(Item(item=number, question=question) for number, question in enumerate(questions, start=1))
    return Task("\n".join(f"{item['item']}. {item['question']}" for item in items), items)


def _numbered_within(line: str) -> list[str]:
    """The items of `1) this 2) that`: at least two, numbered from 1 in one style, from the line's beginning on."""
    # "Add 1 and 2. Then ..." begins no item: a point marks one only after the end of a sentence.
    marks = [
        mark
        for mark in _IN_LINE.finditer(line)
        if mark.group(2) == ")" or not (before := line[: mark.start()].rstrip()) or before[-1] in ".?!;"
    ]
    if len(marks) < 2 or marks[0].start() != 0 or len({mark.group(2) for mark in marks}) > 1:
        return []
    if [int(mark.group(1)) for mark in marks] != list(range(1, len(marks) + 1)):
        return []
    ends = [*(mark.start() for mark in marks[1:]), len(line)]
    return [line[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]


def _questions_within(line: str) -> list[str]:
    """The questions of `What is this? Is that so?`; the line itself where one of them needs what stands before it."""
    sentences = re.split(r"(?<=\?)\s+", line)
    apart = all(one.endswith("?") for one in sentences) and not any(map(_REFERS_BACK.search, sentences[1:]))
    return sentences if apart else [line]


def answers_in(text: str) -> dict[int, str]:
    """The last answer given for each item of a joint answer, in lines such as `3: 12` or `Answer 3: 12`."""
    return {int(number): answer for number, answer in _JOINT.findall(text)}


def skipped_in(joint: str, skipped: str) -> set[int]:
    """Items that a joint answer says were skipped."""
    return {number for number, answer in answers_in(joint).items() if skipped and answer == skipped}


def claims_in(text: str) -> list[int]:
    """Items that a worker says it takes, in order."""
    return [int(number) for number, _ in _CLAIMED.findall(text)]


def amid_item(text: str) -> bool:
    """Whether a worker has taken an item that it has not answered yet."""
    return bool(claims := claims_in(text)) and claims[-1] not in own_answers(text)


def added_items(num_items: int, lanes: Iterable[str]) -> tuple[Item, ...]:
    """Items after the `num_items` of the task that workers took and answered, without gaps: a person asked for them."""
    found: dict[int, str] = {}
    for text in lanes:
        given = own_answers(text)
        found |= {int(number): said for number, said in _CLAIMED.findall(text) if int(number) in given}
    more = itertools.takewhile(found.__contains__, itertools.count(num_items + 1))
    return tuple(Item(item=number, question=found[number]) for number in more)


def own_answers(text: str) -> dict[int, str]:
    """The last answer that a worker itself gives to each item, in lines such as `Answer 3: 12`."""
    return {int(number): answer for number, answer in _OWN.findall(text)}


def answered(items: tuple[Item, ...], joint: str, lanes: dict[str, str], skipped: str = "") -> list[AnsweredItem]:
    """Each item with its answer (the joint one, else the worker's own line) and the worker who answered it; `skipped`
    stands in the joint one for an item that has no answer."""
    final = {number: answer for number, answer in answers_in(joint).items() if answer != skipped}
    own = {worker: own_answers(text) for worker, text in lanes.items()}
    result = []
    for item in items:
        number = item["item"]
        worker = next((name for name, given in own.items() if number in given), None)
        answer = final.get(number) or (own[worker][number] if worker else None) or None
        result.append(AnsweredItem(item=number, question=item["question"], answer=answer, worker=worker))
    return result
