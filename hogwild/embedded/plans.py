"""Questions that need several calls: chains, fans, diamonds of two to four, and second rounds that depend on a result.

In: a `Draw`. Out: a `Task`: the question, its rounds of calls with references such as "$1", what the calls give. Every
call is run here with the values that its references stand for, so that only plans that work are asked for. The wordings
are noun phrases of the phrase bank put together, so a held-out plan is made of held-out wordings. Neighbours:
`worksheets`, `world`. References: LLMCompiler (arXiv 2312.04511, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

# Patterns unfold (`wordings.unfold`); @1, @2, @3 become three letters.
CHAINS: Final = {
    "train": (
        "<Let|Say|Suppose|Assume> @1 <be|is> {1}. <What is|Give|Find|Tell me|Now find> {2:@1}<.|?>",
        "<Find|Compute|Get|Determine|Calculate> {1}. <Then|Next|After that|Now> <give|find|compute|tell me> "
        "{2:<the result|that|it|the outcome|this value>}.",
        "Take {1}; [then ]<what is|find|give> {2:<that|it|the result>}<?|.>",
        "<First|To begin|At first> <compute|find|get> {1}, <then|and then|and afterwards> "
        "{2:<the result|what comes out|that>}.",
        "@1 = {1}. <What is|Give|Find> {2:@1}<?|.>",
        "<With|For> @1 <being|equal to> {1}, <what is|find|give> {2:@1}<?|.>",
        "<Name|Label> {1} @1<;|,> <then find|now compute|and find> {2:@1}.",
        "What is {2:@1}<, if| when|, where> @1 is {1}?",
        "<I have|We have|There is> {1}; <find|compute|tell me> {2:<it|that>}.",
        "Step one: {1}. Step two: {2:<the result|that>}.",
        "{1}, then {2:<the result|that>}.",
        "<Denote|Mark> {1} <by|with|as> @1. <Then|Afterwards|Next>[,] <find|give|tell me> {2:@1}.",
        "<Write|Use> @1 for {1}. <Now|Then> <what is|find> {2:@1}<?|.>",
        "{1} is @1. <What is|Find> {2:@1}<?|.>",
        "<Start with|Begin with|Go for|Determine> {1}[ first]. <Using|From|Given|Knowing> <it|this|that>, "
        "<what is|find> {2:<it|that>}<?|.>",
    ),
    "held_out": ("Work out {1} first. With that, what is {2:it}?", "Call {1} k. Now give {2:k}."),
}
LONGER: Final = {
    "train": (
        " <Then|Next|After that|And then|Now> <what is|give|find|compute> "
        "{:<that result|the last result|the new value|what comes out|it>}<?|.>",
        " Next step: {:<the result|that>}.",
        " <With|Using|From> <that|this|it>, <what is|find|give> {:<it|that>}<?|.>",
        " <Then|Next|At last|Last|In the end|And then>[,] <what is|give|find|tell me> {:<the|this|our>"
        "[ current| latest| running| present] <value|number|figure|amount|answer|result>"
        "[ now| up to now| by then| up to here| at this point]}<?|.>",
    ),
    "held_out": (" Finally, what is {:the value so far}?",),
}
FANS: Final = {
    "train": (
        "<Let|Say|Suppose> @1 <be|is> {1} and @2 <be|is> {2}. <What is|Give|Find> {3:@1:@2}<?|.>",
        "<Find|Compute|Get> {1} and <also|then> {2}. <Then|Now|After that> <give|find> "
        "{3:the first <result|value|number>:the second[ one]}.",
        "<Compute|Find> {1}, and {2}; <now|then> {3:the one:the other}.",
        "@1 = {1}, @2 = {2}. <What is|Give> {3:@1:@2}<?|.>",
        "<With|For> @1 <equal to|being> {1} and @2 <equal to|being> {2}, <find|give|what is> {3:@1:@2}<?|.>",
        "<Name|Label> {1} @1 and {2} @2; <then find|and give> {3:@1:@2}.",
        "What is {3:@1:@2}<, if| when|, where> @1 is {1} and @2 is {2}?",
        "<There are two values|Two values>: {1}, and {2}. <Find|Give> {3:the first[ one]:the second[ one]}.",
        "First {1}, second {2}: {3:the first:the second}<.|?>",
    ),
    "held_out": (
        "Work out {1} as well as {2}. What is {3:the former:the latter}?",
        "Call {1} p and {2} q. Give {3:p:q}.",
    ),
}
FANS_OF_THREE: Final = {
    "train": (
        "<Find|Compute|Get> {1}, {2} and {3}. What is the <mean|average|median|middle value> of the "
        "<three|three results|values>?",
        "Let @1 be {1}, @2 {2} and @3 {3}. <Give|Find> the <mean|average|median|middle value> of @1, @2 and @3.",
        "<What is|Give|Find> the <mean|average|median|middle value> of these three: {1}, {2}, {3}<?|.>",
        "<With|Take> @1 = {1}, @2 = {2}, @3 = {3}<:|;> <what is|find> the <mean|average|median|middle value> of "
        "<the three|them|@1, @2 and @3>?",
        "<Compute|Find> {1}; also {2}; and {3}; then the <mean|average|median|middle value> of <them|all three>.",
        "<Compute|Get|Determine> {1}, <then|next> {2}, <then|and> {3}. <Now|Finally|For the three>, <find|what is> the "
        "<mean|average|median|middle value><?|.>",
        "The <mean|average|median|middle value> of {1}, of {2} and of {3}<?|.>",
        "<Among|Take> {1}, {2} and {3}<:|;> <their|the> <mean|average|median|middle value><?|.>",
    ),
    "held_out": ("Work out {1}, then {2}, then {3}. Of these three, what is the <average|median>?",),
}
DIAMONDS: Final = {
    "train": (
        "<Let|Say> @1 be {1}, @2 be {2:@1} and @3 be {3:@1}. <What is|Give> {4:@2:@3}?",
        "<Find|Compute> {1}. <From it|With it|Using it> find {2:it} and {3:it}, and then <give|find> "
        "{4:the first of them:the second}.",
        "@1 = {1}, @2 = {2:@1}, @3 = {3:@1}. <What is|Give|Find> {4:@2:@3}<?|.>",
        "<Name|Label> {1} @1. <Take|Find> {2:@1} as @2 and {3:@1} as @3; then {4:@2:@3}.",
        "<Suppose|If> @1 is {1}. <Let|Say> @2 be {2:@1}, and @3 {3:@1}. <Find|Give> {4:@2:@3}.",
        "First {1}. Then, from <the result|that>, {2:<the result|it>} and {3:<the result|it>}. At the end, "
        "{4:one:the other}.",
    ),
    "held_out": ("Call {1} k. With p as {2:k} and q as {3:k}, what is {4:p:q}?",),
}
CONDITIONS: Final = {
    "train": (
        "If {a} is <a prime number|prime|a prime>, <give|find|compute> {2}<; otherwise|, else|; if not,> "
        "<give|find> {3}.",
        "Is {a} prime? If <yes|so>, <find|give|compute> {2}, if not, {3}.",
        "<Find|Give|Compute> {2} if {a} is prime, and {3} if it is not.",
        "<Check|Test> <whether|if> {a} is <prime|a prime number>. <If it is|If so>, give {2}; <if not|otherwise>, {3}.",
        "{2} when {a} is prime, {3} when not.",
        "In case {a} is <prime|a prime number>, <give|find> {2}; <or else|in the other case>, {3}.",
        "<Find|Compute|Take> {2}, provided that {a} is <prime|a prime>, or else {3}.",
        "Should {a} be <prime|a prime number>, <give|take> {2}, and <else|otherwise> {3}.",
        "Depending on whether {a} is prime or not, <give|find> {2} or {3}.",
        "<Give|Find|Compute|Take|Tell me> {2} <if|when|as long as|only if|in the event that|assuming that|given that> "
        "{a} <is|turns out> <prime|a prime|a prime number>, <or else|else|otherwise|but otherwise|or, if not,> {3}.",
    ),
    "held_out": ("Give {2} in case {a} is a prime, or else {3}.",),
}
LETTERS: Final = "abcdefghijlmnorstuvwxyz"
"""Names of values in training; k, p and q are held out."""


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
            plan = Plan(draw)
            n = draw.whole(3, least=2)
            condition = plan.call("is_prime", {"n": n})
            yes, no = Plan(draw), Plan(draw)
            nouns = [one.free(draw.rng.choice(("add", "subtract", "multiply", "remainder", "digit_sum", "gcd")))
                     for one in (yes, no)]  # fmt: skip
        except Broken:
            continue
        chosen = yes if condition.result == "yes" else no
        text = _wording(draw, CONDITIONS).format(None, None, nouns[0], nouns[1], a=n)
        return Task(draw.cased(text), ((condition,), tuple(chosen.calls)), chosen.calls[0].result)


class Plan:
    """Calls under way: each is run as it is drawn, with what its references stand for."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
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


def _wording(draw: Draw, bank: Mapping[str, Sequence[str]]) -> str:
    """One unfolded template, with letters for its values."""
    text = unfold(draw.rng.choice(bank["held_out" if draw.held_out else "train"]), draw.rng)
    for number, letter in enumerate(draw.rng.sample(LETTERS, 3), start=1):
        text = text.replace(f"@{number}", letter)
    return text


def _fill(plan: Plan, template: str, nouns: list[str], references: list[tuple[str, ...]]) -> str:
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
    plan = Plan(draw)
    first = plan.free(draw.rng.choice(_FIRST))
    question = _fill(plan, _wording(draw, CHAINS), [first], [(), ("$1",)])
    template = ""
    for number in range(2, length):
        if not template or draw.held_out or draw.rng.random() < 0.6:  # else in the same words again
            template = _wording(draw, LONGER).replace("{:", "{2:")
        question += _fill(plan, template, [""], [(), (f"${number}",)])
    return plan.task(question)


def _fan(draw: Draw) -> Task:
    plan = Plan(draw)
    nouns = [plan.numeric(), plan.numeric()]
    return plan.task(_fill(plan, _wording(draw, FANS), nouns, [(), (), ("$1", "$2")]))


def _fan_of_three(draw: Draw) -> Task:
    plan = Plan(draw)
    nouns = [plan.numeric(), plan.numeric(), plan.numeric()]
    text = _wording(draw, FANS_OF_THREE)
    tool = "median" if "median" in text or "middle" in text else "mean"
    plan.call(tool, {"numbers": ["$1", "$2", "$3"]})
    return plan.task(_fill(plan, text, nouns, [(), (), ()]))


def _diamond(draw: Draw) -> Task:
    plan = Plan(draw)
    first = plan.numeric()
    template = _wording(draw, DIAMONDS)
    return plan.task(_fill(plan, template, [first], [(), ("$1",), ("$1",), ("$2", "$3")]))
