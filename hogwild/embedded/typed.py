"""Questions as people type them in a hurry: `3+4`, `(3+4)*2 =`, two or three questions in one line.

In: a `Draw`. Out: a `Task`: a sum with its calls in the order of precedence, or several questions with their answers
joined. Frames and joints that are held out are never trained on, nor are held-out numbers.
Neighbours: `worksheets`, `plans`, `world`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hogwild.embedded.plans import Broken, Plan, Task
from hogwild.embedded.wordings import unfold
from hogwild.embedded.worksheets import NUMBER_WORDS, Draw, held_out_number

FRAMES: Final = {
    "train": (
        "{x}", "{x}", "{x}", "{x}[ ]=[ ]", "{x}[ ]=[ ]?", "{x}<?|.|:|;>",
        "<What is|What's|Whats|How much is|Find|Compute|Calculate|Calc|Solve|Evaluate|Work out|Eval|Result of|Give me> "
        "{x}<?|.||>",
        "<Please|Now|Quickly> <compute|calculate|solve|find> {x}[.]", "<Can|Could> you <solve|compute|do> {x}?",
        "<The result of|The value of> {x}<?|.|>", "I need {x}[.]", "<Sum|Task|Problem|Exercise>: {x}",
    ),
    "held_out": ("How much does {x} make?", "{x} equals", "Tell me what {x} is.", "I would like to know {x}."),
}  # fmt: skip
JOINTS: Final = {
    "train": (
        "{q} {q}", "{q} {q}", "{q} <And|Also|Then|Next:|And then> {q}",
        "<What is|What's|Find|Compute|Give me|Tell me> {n} and {n}<?|.|>",
        "<What is|Find|Compute|Give me|Tell me> {n}, and <what is |find |also |then |>{n}<?|.|>",
        "{n}<,|;| and| /> {n}[?]", "<Find|Compute|Give> both {n} and {n}.",
    ),
    "held_out": ("I would like to know {n}, and also {n}.", "Do you know {n}? And {n}?"),
}  # fmt: skip
JOINTS_OF_THREE: Final = {
    "train": ("{q} {q} {q}", "{n}<,|;> {n}<,|;| and|, and> {n}[?]", "<What are|Find|Compute> {n}, {n} and {n}<?|.|>"),
    "held_out": ("I would like to know {n}, {n}, and also {n}.",),
}
CONTINUED: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("add {b}[ to <it|that|the result>]", "<increase|raise> <it|that> by {b}", "plus {b}"),
    "subtract": (
        "subtract {b}[ from <it|that|the result>]",
        "take away {b}",
        "<decrease|lower> it by {b}",
        "minus {b}",
    ),
    "multiply": ("multiply <it|that|the result|this> <by|with> {b}", "times {b}"),
    "divide": ("divide <it|that|the result|this> by {b}", "divided by {b}"),
    "power": ("raise <it|that|the result> to the power of {b}", "to the power of {b}"),
}
"""How a sum goes on in a second sentence: "What is 12 * 12? Then add 6."; of training only."""
SPELLED: Final = 0.2
"""Of the training sums: "two plus three", "12 times 4 minus 7"."""
GOES_ON: Final = 0.14
"""Of the training sums of two and more operations."""
SMALL: Final = 0.3
"""Of the training sums of two and more operations: small numbers, all signs alike, or products added."""
MAX_PART: Final = 10
"""Characters of one answer among several."""

Operand: TypeAlias = "int | float | Sum"


@dataclass(frozen=True, slots=True)
class Sum:
    """`left sign right`; tool: what computes it; binds: 1 for + and -, 2 for * and /, 3 for powers."""

    sign: str
    tool: str
    binds: int
    left: Operand
    right: Operand


_SIGNS: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "add": (("+",), 1),
    "subtract": (("-", "-", "-", "−"), 1),
    "multiply": (("*", "*", "*", "x", "×"), 2),
    "divide": (("/", "/", "/", "÷"), 2),
    "power": (("^", "**"), 3),
}


_SIGN_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("plus", "plus", "added to"),
    "subtract": ("minus", "minus", "less"),
    "multiply": ("times", "times", "multiplied by", "x"),
    "divide": ("divided by", "divided by", "over"),
    "power": ("to the power of", "to the power", "raised to"),
}


def draw_sum(draw: Draw) -> Task:
    """A sum of one to four operations."""
    while True:
        size = draw.rng.choices((1, 2, 3, 4), (0.32, 0.4, 0.18, 0.1) if draw.held_out else (0.2, 0.36, 0.26, 0.18))[0]
        small = not draw.held_out and size > 1 and draw.rng.random() < SMALL
        made, plan = (_small(draw, size) if small else _sum(draw, size)), Plan(draw)
        try:
            _computed(plan, made)
        except Broken:
            continue
        frame = unfold(draw.rng.choice(FRAMES[_split(draw)]), draw.rng)
        spelled = not draw.held_out and draw.rng.random() < SPELLED
        written = _spelled(made, draw.rng) if spelled else _written(made, _spacing(draw.rng))
        goes_on = not draw.held_out and isinstance(made.left, Sum) and not isinstance(made.right, Sum)
        if goes_on and draw.rng.random() < GOES_ON:
            return plan.task(_continued(draw, made))
        return plan.task(frame.replace("{x}", written))


def draw_several(draw: Draw) -> Task:
    """Two or three questions in one line; the answer has those of all of them."""
    while True:
        plan = Plan(draw)
        bank = JOINTS if draw.rng.random() < 0.75 else JOINTS_OF_THREE
        question = ""
        try:
            for piece in re.split(r"(\{[qn]\})", unfold(draw.rng.choice(bank[_split(draw)]), draw.rng)):
                question += _part(draw, plan, piece == "{q}") if piece in ("{q}", "{n}") else piece
        except Broken:
            continue
        answers = [call.result for call in plan.calls]
        joined = f"{', '.join(answers[:-1])} and {answers[-1]}"
        return Task(draw.cased(question), (tuple(plan.calls),), joined)


def _split(draw: Draw) -> str:
    return "held_out" if draw.held_out else "train"


# Sums.


def _sum(draw: Draw, calls: int) -> Sum:
    """A tree of so many operations; what stands on both sides is drawn, too."""
    rng = draw.rng
    tool = rng.choices(list(_SIGNS), (0.3, 0.2, 0.28, 0.14, 0.08))[0]
    signs, binds = _SIGNS[tool]
    # An exponent is a number.
    left = calls - 1 if tool == "power" or rng.random() < 0.65 else rng.randint(0, calls - 1)
    sides: list[Operand] = []
    for index, inner in enumerate((left, calls - 1 - left)):
        if inner:
            sides.append(_sum(draw, inner))
        elif tool == "power":
            sides.append(rng.randint(2, 9) if index else draw.whole(2, least=2))
        else:
            sides.append(_number(draw, first=index == 0))
    return Sum(rng.choice(signs), tool, binds, sides[0], sides[1])


def _small(draw: Draw, calls: int) -> Sum:
    """1+2+3+4, 2*3*4, 9-2-1, 3*4+5*6: what people type first."""
    rng = draw.rng

    def number() -> int:
        return draw.whole(2, least=1) if rng.random() < 0.25 else rng.randint(1, 9)

    def chain(tools: Sequence[str]) -> Sum:
        made: Operand = number()
        for tool in tools:
            signs, binds = _SIGNS[tool]
            made = Sum(rng.choice(signs), tool, binds, made, number())
        assert isinstance(made, Sum)
        return made

    kind = rng.random()
    if kind < 0.3 and calls == 3:
        signs, binds = _SIGNS[tool := rng.choice(("add", "add", "subtract"))]
        return Sum(rng.choice(signs), tool, binds, chain(["multiply"]), chain(["multiply"]))
    if kind < 0.7:
        return chain([rng.choice(("add", "add", "multiply", "subtract"))] * calls)
    first = rng.choice(("multiply", "multiply", "add", "subtract"))
    tools = [first, *(rng.choice(("add", "subtract")) for _ in range(calls - 1))]
    return chain(tools)


def _continued(draw: Draw, made: Sum) -> str:
    """The last operation as a sentence of its own."""
    assert isinstance(made.left, Sum)
    rng = draw.rng
    inner = _spelled(made.left, rng) if rng.random() < SPELLED else _written(made.left, _spacing(rng))
    frame = unfold(rng.choice(FRAMES["train"]), rng).replace("{x}", inner).strip()
    if not frame.endswith(("?", ".", ":", ";")):
        frame += rng.choice((".", ",", ";", "?"))
    going_on = unfold(rng.choice(CONTINUED[made.tool]), rng).replace("{b}", str(made.right))
    then = unfold("<Then|Then|Now|Next,|After that,|And then|Now please>", rng)
    then = then if frame[-1] in "?." else then.lower()
    return f"{frame} {then} {going_on}{rng.choice(('.', '.', ''))}"


def _number(draw: Draw, first: bool) -> int | float:
    kind = draw.rng.random()
    n = draw.whole(draw.rng.choice((1, 1, 2, 2, 2, 3, 3, 4, 4, 7)))
    if not draw.held_out and draw.rng.random() < 0.05:  # 1000000, 250000
        round_number = draw.rng.randint(1, draw.rng.choice((9, 99))) * 10 ** draw.rng.randint(2, 5)
        n = n if held_out_number(round_number) else round_number
    if kind < 0.08:
        return round(n + draw.rng.randint(1, 9) / 10, 1)
    return -n if first and kind < 0.11 else n


def _computed(plan: Plan, given: Operand) -> Any:
    """The argument that stands for it: a number, or the reference of the call that gives it."""
    if not isinstance(given, Sum):
        return given
    left, right = _computed(plan, given.left), _computed(plan, given.right)
    names = ("base", "exponent") if given.tool == "power" else ("a", "b")
    plan.call(given.tool, dict(zip(names, (left, right), strict=True)))
    return f"${len(plan.calls)}"


def _written(given: Operand, space: Callable[[], str]) -> str:
    if not isinstance(given, Sum):
        return str(given)
    # 8 - (3 - 2) and 2 ^ (3 ^ 2) need what 8 + 3 - 2 does not; a negative number in front of a power does, too.
    left = _bracketed(given.left, given.binds + (given.tool == "power"), space)
    right = _bracketed(given.right, given.binds + 1, space)
    return f"{left}{space()}{given.sign}{space()}{right}"


def _spelled(given: Operand, rng: random.Random) -> str:
    """With words for signs and, at times, for small numbers; a sum in brackets keeps its signs."""
    if not isinstance(given, Sum):
        text = str(given)
        return NUMBER_WORDS.get(text, text) if rng.random() < 0.5 else text
    left, right = (
        _bracketed(side, binds, lambda: " ") if isinstance(side, Sum) and side.binds < binds else _spelled(side, rng)
        for side, binds in ((given.left, given.binds + (given.tool == "power")), (given.right, given.binds + 1))
    )
    return f"{left} {rng.choice(_SIGN_WORDS[given.tool])} {right}"


def _bracketed(given: Operand, binds: int, space: Callable[[], str]) -> str:
    text = _written(given, space)
    return f"({text})" if isinstance(given, Sum) and given.binds < binds else text


def _spacing(rng: random.Random) -> Callable[[], str]:
    """What stands around a sign: mostly nothing, or a space throughout, or now this and now that."""
    kind = rng.random()
    return lambda: "" if kind < 0.55 else " " if kind < 0.85 else rng.choice(("", " "))


# Several questions.


def _part(draw: Draw, plan: Plan, question: bool) -> str:
    """A question, or a noun phrase, and its call."""
    if draw.rng.random() < 0.4:
        made = _sum(draw, 1)
        _computed(plan, made)
        text = _written(made, _spacing(draw.rng))
        frames = ("What is {x}?", "{x}?", "Compute {x}.", "How much is {x}?")
        text = draw.rng.choice(frames).replace("{x}", text) if question else text
    elif question:
        text, tool, arguments, _, failed = draw.question()
        if failed:
            raise Broken
        plan.call(tool, arguments)
    else:
        text = plan.numeric()
        if plan.calls[-1].tool in ("mean", "median"):  # where does its list end?
            raise Broken
    if len(plan.calls[-1].result) > MAX_PART:
        raise Broken
    return text
