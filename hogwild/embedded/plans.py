"""Questions that need several calls: chains, fans, diamonds of two to four, and second rounds that depend on a result.

In: a `Draw`. Out: a `Task`: the question, its rounds of calls with references such as "$1", what the calls give. Every
call is run here with the values that its references stand for, so that only plans that work are asked for. The wordings
are noun phrases of the phrase bank put together, so a held-out plan is made of held-out wordings. Neighbours:
`worksheets`, `world`. References: LLMCompiler (arXiv 2312.04511, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from hogwild.embedded.phrases import PHRASES
from hogwild.embedded.wordings import WORDINGS, unfold
from hogwild.embedded.worksheets import MAX_RESULT, Call, Draw
from toolsets.builtin import BUILTINS
from toolsets.direct import run_direct
from toolsets.parse import ToolCall

SHAPES: Final = ("chain2", "chain2", "chain3", "fan2", "fan2", "fan3", "diamond", "chain4")

# What a reference to a number, a day or a text may be the argument of.
_TAKES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "number": (
        ("add", "a"), ("add", "b"), ("subtract", "a"), ("subtract", "b"), ("multiply", "a"), ("multiply", "b"),
        ("divide", "a"), ("percent_of", "value"), ("gcd", "a"), ("lcm", "b"), ("remainder", "a"), ("power", "base"),
        ("digit_sum", "n"), ("is_prime", "n"),
    ),
    "date": (("add_days", "day"), ("weekday", "day")),
    "text": (("reverse_text", "text"), ("text_length", "text"), ("count_letter", "text")),
}  # fmt: skip
_OF_TWO: Final = ("add", "subtract", "multiply", "divide", "gcd", "lcm", "remainder")
_FIRST: Final = ("add", "subtract", "multiply", "divide", "percent_of", "gcd", "lcm", "remainder", "digit_sum",
                 "add_days", "add_days", "reverse_text", "text_length", "count_letter", "days_between", "mean",
                 "median")  # fmt: skip

CHAINS: Final = {
    "train": (
        "Let x be {1}. What is {2:x}?",
        "Find {1}. Then give {2:the result}.",
        "Take {1}; what is {2:that}?",
        "First compute {1}, then {2:the result}.",
    ),
    "held_out": ("Work out {1} first. With that, what is {2:it}?", "Call {1} k. Now give {2:k}."),
}
LONGER: Final = {
    "train": (" Then what is {:that result}?", " After that, give {:the last result}."),
    "held_out": (" Finally, what is {:the value so far}?",),
}
FANS: Final = {
    "train": (
        "Let x be {1} and y be {2}. What is {3:x:y}?",
        "Find {1} and also {2}. Then give {3:the first result:the second}.",
        "Compute {1}, and {2}; now {3:the one:the other}.",
    ),
    "held_out": (
        "Work out {1} as well as {2}. What is {3:the former:the latter}?",
        "Call {1} p and {2} q. Give {3:p:q}.",
    ),
}
FANS_OF_THREE: Final = {
    "train": ("Find {1}, {2} and {3}. What is the <mean|average|median|middle value> of the three?",
              "Let x be {1}, y {2} and z {3}. Give the <mean|average|median|middle value> of x, y and z."),
    "held_out": ("Work out {1}, then {2}, then {3}. Of these three, what is the <average|median>?",),
}  # fmt: skip
DIAMONDS: Final = {
    "train": ("Let x be {1}, y be {2:x} and z be {3:x}. What is {4:y:z}?",
              "Find {1}. From it find {2:it} and {3:it}, and then give {4:the first of them:the second}."),
    "held_out": ("Call {1} k. With p as {2:k} and q as {3:k}, what is {4:p:q}?",),
}  # fmt: skip
CONDITIONS: Final = {
    "train": (
        "If {a} is a prime number, give {2}; otherwise give {3}.",
        "Is {a} prime? If yes, find {2}, if not, {3}.",
        "Find {2} if {a} is prime, and {3} if it is not.",
    ),
    "held_out": ("Give {2} in case {a} is a prime, or else {3}.",),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A question, its calls round by round with built-in names, the tools it needs, and its answer."""

    question: str
    rounds: tuple[tuple[Call, ...], ...] = field(hash=False)
    answer: str

    @property
    def tools(self) -> set[str]:
        return {call.tool for one in self.rounds for call in one}


class Broken(Exception):
    """A draw that came to nothing; the next one is tried."""


def draw_plan(draw: Draw, shapes: tuple[str, ...] = SHAPES) -> Task:
    """A question of two to four dependent calls."""
    while True:
        shape = draw.rng.choice(shapes)
        try:
            if shape.startswith("chain"):
                return _chain(draw, int(shape[5:]))
            if shape == "fan2":
                return _fan(draw)
            return _fan_of_three(draw) if shape == "fan3" else _diamond(draw)
        except Broken:
            continue


def draw_rounds(draw: Draw) -> Task:
    """A question whose second call can be chosen only when the first one's result is known."""
    while True:
        try:
            plan = _Plan(draw)
            n = draw.whole(3, least=2)
            condition = plan.call("is_prime", {"n": n})
            yes, no = _Plan(draw), _Plan(draw)
            nouns = [one.free(draw.rng.choice(("add", "subtract", "multiply", "remainder", "digit_sum", "gcd")))
                     for one in (yes, no)]  # fmt: skip
        except Broken:
            continue
        chosen = yes if condition.result == "yes" else no
        text = draw.rng.choice(CONDITIONS[plan.split]).format(None, None, nouns[0], nouns[1], a=n)
        return Task(draw.cased(text), ((condition,), tuple(chosen.calls)), chosen.calls[0].result)


class _Plan:
    """Calls under way: each is run as it is drawn, with what its references stand for."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.split = "held_out" if draw.held_out else "train"
        self.calls: list[Call] = []
        self.values: dict[str, Any] = {}

    def call(self, tool: str, arguments: dict[str, Any]) -> Call:
        """Add a call; raises Broken where it fails or gives something too long to read."""
        result = run_direct(ToolCall(tool, {k: self.meant(v) for k, v in arguments.items()}, ""), BUILTINS)
        if result.status == "failed" or len(result.text) > MAX_RESULT:
            raise Broken
        made = Call(tool, arguments, result.text)
        self.calls.append(made)
        self.values[f"${len(self.calls)}"] = result.value
        return made

    def meant(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.meant(one) for one in value]
        return self.values.get(value, value) if isinstance(value, str) else value

    def free(self, tool: str) -> str:
        """A call that refers to nothing; returns its noun phrase."""
        arguments, shown = self.draw.arguments(tool)
        self.call(tool, arguments)
        return self.noun(tool, shown)

    def numeric(self) -> str:
        """A free call that gives a number."""
        noun = self.free(self.draw.rng.choice(("add", "subtract", "multiply", "percent_of", "gcd", "remainder",
                                               "digit_sum", "text_length", "days_between", "mean")))  # fmt: skip
        return noun if not isinstance(self.values[f"${len(self.calls)}"], str) else self._broken()

    def onward(self, reference: str, shown_as: str) -> str:
        """A call on an earlier result; returns its noun phrase, in which the result is called `shown_as`."""
        value = self.values[reference]
        kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else (
            "date" if hasattr(value, "isoformat") else "text" if isinstance(value, str) else "")  # fmt: skip
        if kind not in _TAKES:
            raise Broken
        tool, slot = self.draw.rng.choice(_TAKES[kind])
        arguments, shown = self.draw.arguments(tool)
        arguments[slot], shown[slot] = reference, shown_as
        self.call(tool, arguments)
        return self.noun(tool, shown)

    def joined(self, references: tuple[str, str], shown: tuple[str, str]) -> str:
        tool = self.draw.rng.choice(_OF_TWO)
        self.call(tool, dict(zip(("a", "b"), references, strict=True)))
        return self.noun(tool, dict(zip(("a", "b"), shown, strict=True)))

    def noun(self, tool: str, shown: dict[str, str]) -> str:
        rng, bank = self.draw.rng, PHRASES[tool]
        if self.draw.held_out:
            pattern = rng.choice(bank.nouns_held_out)
        else:
            pattern = (
                unfold(rng.choice(WORDINGS[tool].nouns), rng) if rng.random() < 0.5 else rng.choice(bank.nouns_train)
            )
        return pattern.format(**shown)

    def task(self, question: str) -> Task:
        return Task(self.draw.cased(question), (tuple(self.calls),), self.calls[-1].result)

    def _broken(self) -> str:
        raise Broken


def _fill(plan: _Plan, template: str, nouns: list[str], references: list[tuple[str, ...]]) -> str:
    """Fill `{1}` with nouns that are there, and `{2:x}` with a call on what x stands for.

    references[k]: what the k-th place's names stand for, or () where its noun is there already.
    """
    out, rest = "", template
    while "{" in rest:
        before, _, rest = rest.partition("{")
        inner, _, rest = rest.partition("}")
        place, *names = inner.split(":")
        index = int(place) - 1
        if index < len(nouns):
            noun = nouns[index]
        elif len(names) == 1:
            noun = plan.onward(references[index][0], names[0])
        else:
            noun = plan.joined((references[index][0], references[index][1]), (names[0], names[1]))
        out += before + noun
    return out + rest


def _chain(draw: Draw, length: int) -> Task:
    plan = _Plan(draw)
    first = plan.free(draw.rng.choice(_FIRST))
    question = _fill(plan, draw.rng.choice(CHAINS[plan.split]), [first], [(), ("$1",)])
    for number in range(2, length):
        template = draw.rng.choice(LONGER[plan.split]).replace("{:", "{2:")
        question += _fill(plan, template, [""], [(), (f"${number}",)])
    return plan.task(question)


def _fan(draw: Draw) -> Task:
    plan = _Plan(draw)
    nouns = [plan.numeric(), plan.numeric()]
    return plan.task(_fill(plan, draw.rng.choice(FANS[plan.split]), nouns, [(), (), ("$1", "$2")]))


def _fan_of_three(draw: Draw) -> Task:
    plan = _Plan(draw)
    nouns = [plan.numeric(), plan.numeric(), plan.numeric()]
    text = unfold(draw.rng.choice(FANS_OF_THREE[plan.split]), draw.rng)
    tool = "median" if "median" in text or "middle" in text else "mean"
    plan.call(tool, {"numbers": ["$1", "$2", "$3"]})
    return plan.task(_fill(plan, text, nouns, [(), (), ()]))


def _diamond(draw: Draw) -> Task:
    plan = _Plan(draw)
    first = plan.numeric()
    template = draw.rng.choice(DIAMONDS[plan.split])
    return plan.task(_fill(plan, template, [first], [(), ("$1",), ("$1",), ("$2", "$3")]))
