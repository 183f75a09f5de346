"""Concepts for the prompt, and questions that only they make clear: what "the usual discount" is, what "a crate" holds.

In: a `Draw`. Out: `Hinted` questions with the concept each needs, rendered exactly as the library renders concepts
(`memory.rendering`; a test holds the two together), and concepts that mislead. The numbers and words of a concept are
drawn anew each time, so that nobody can know them by heart: without the concept the honest answer is a refusal.
After ArcMemo (arXiv 2509.04439). Neighbours: `worksheets`, `world`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hogwild.embedded.wordings import unfold
from hogwild.embedded.worksheets import Call, Draw, held_out_year
from toolsets.builtin import BUILTINS
from toolsets.direct import run_direct
from toolsets.parse import ToolCall
from toolsets.standard import STANDARD

QUALITIES: Final = ("usual", "summer", "member", "student", "staff", "family", "partner", "early", "spring", "weekend")
QUALITIES_HELD_OUT: Final = ("winter", "senior", "harbor", "loyalty", "festival", "company")
GOODS: Final = ("bike", "lamp", "table", "coat", "phone", "tent", "radio", "chair", "camera", "kettle")
GOODS_HELD_OUT: Final = ("sofa", "drill", "guitar", "printer", "scarf")


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept as a prompt shows it: title, cue, how."""

    title: str
    cue: str
    how: str

    def rendered(self) -> str:
        return f"- {self.title}\n  kind: routine\n  when:\n    - {self.cue}\n  how:\n    - {self.how}"


@dataclass(frozen=True, slots=True)
class Hinted:
    """A question, the concept that it needs, and the calls that follow from the concept."""

    question: str
    concept: Concept
    calls: tuple[Call, ...]
    tools: frozenset[str]

    @property
    def answer(self) -> str:
        return self.calls[-1].result


def rendered(concepts: list[Concept]) -> str:
    return "\n".join(concept.rendered() for concept in concepts)


def draw_hinted(draw: Draw) -> Hinted:
    """A question that cannot be answered without its concept."""
    while True:
        made = draw.rng.choice(_FAMILIES)(draw)
        if made is not None:
            return made


def misleading(draw: Draw, needed: list[Concept]) -> Concept:
    """A concept for something else, one time in two of the same kind as a needed one under another name."""
    while True:
        other = draw_hinted(draw).concept
        if any(other.cue == concept.cue for concept in needed):
            continue
        kinds = {concept.cue.split()[-1] for concept in needed}
        if not needed or other.cue.split()[-1] in kinds or draw.rng.random() < 0.5:
            return other


def _run(calls: list[tuple[str, dict[str, Any]]]) -> tuple[Call, ...] | None:
    """The calls with their results; None where one fails."""
    values: dict[str, Any] = {}
    made = []
    for number, (tool, arguments) in enumerate(calls, start=1):
        given = {k: values.get(v, v) if isinstance(v, str) else v for k, v in arguments.items()}
        result = run_direct(ToolCall(tool, given, ""), STANDARD)
        if result.status == "failed" or len(result.text) > 14:
            return None
        values[f"${number}"] = result.value
        made.append(Call(tool, arguments, result.text))
    return tuple(made)


def _hinted(question: str, concept: Concept, calls: list[tuple[str, dict[str, Any]]]) -> Hinted | None:
    made = _run(calls)
    return Hinted(question, concept, made, frozenset(tool for tool, _ in calls)) if made else None


def _price(draw: Draw) -> Hinted | None:
    quality = draw.rng.choice(QUALITIES_HELD_OUT if draw.held_out else QUALITIES)
    thing = draw.rng.choice(GOODS_HELD_OUT if draw.held_out else GOODS)
    if not draw.held_out and draw.rng.random() < 0.6:
        quality, thing = draw.word(), draw.word()
    percent, price = 5 * draw.rng.randint(1, 12), draw.whole(3, least=10)
    off = draw.rng.random() < 0.6
    name = f"{quality} discount" if off else f"{quality} fee"
    how = f"the {name} is {percent} percent, {'taken off' if off else 'added'}"
    texts = (
        (
            "<What does|How much does> a {t} of {p} euros cost {w} the {n}?",
            "<Give|Tell me|Find> the price of a {t} of {p} euros {w} the {n}.",
            "A {t} <costs|is> {p} euros. What <is the price|do I pay|does it cost> {w} the {n}?",
            "What is the price of a {t} of {p} euros {w} the {n}?",
        )
        if not draw.held_out
        else ("How much is a {t} of {p} euros {w} the {n}?",)
    )
    text = unfold(draw.rng.choice(texts), draw.rng).format(t=thing, p=price, n=name, w="after" if off else "with")
    share = ("percent_of", {"percent": percent, "value": price})
    last = ("subtract" if off else "add", {"a": price, "b": "$1"})
    return _hinted(text, Concept(name.capitalize(), f"{name}", how), [share, last])


def _pack(draw: Draw) -> Hinted | None:
    word = draw.word()
    held, count = draw.rng.randint(2, 60), draw.whole(2, least=2)
    thing = draw.rng.choice(("eggs", "cards", "nails", "rolls", "books"))
    texts = (
        (
            "How many {t} are in {c} {w} packs?",
            "{c} {w} packs of {t}: how many {t}?",
            "<I have|We have|There are> {c} {w} packs. How many {t} <is that|are there>?",
            "<Count|Find the number of|Give the number of> {t} in {c} {w} packs.",
        )
        if not draw.held_out
        else ("If I buy {c} {w} packs, how many {t} do I get?",)
    )
    text = unfold(draw.rng.choice(texts), draw.rng).format(t=thing, c=count, w=word)
    concept = Concept(f"{word.capitalize()} pack", f"{word} packs", f"one {word} pack holds {held}; multiply")
    return _hinted(text, concept, [("multiply", {"a": count, "b": held})])


def _days(draw: Draw) -> Hinted | None:
    quality = draw.word()
    span = draw.days_apart()
    if held_out_year(int(span["start"][:4])) != draw.held_out:
        return None
    office = draw.rng.random() < 0.5
    how = "leave out weekends" if office else "count every day"
    texts = (
        (
            "How many {q} days are between {start} and {end}?",
            "Count the {q} days from {start} to {end}.",
            "<Give|Find|Tell me> the <number|count> of {q} days between {start} and {end}.",
            "Between {start} and {end}, how many {q} days are there?",
        )
        if not draw.held_out
        else ("From {start} until {end}, how many {q} days is that?",)
    )
    text = unfold(draw.rng.choice(texts), draw.rng).format(q=quality, **span)
    concept = Concept(f"{quality.capitalize()} days", f"{quality} days", how)
    return _hinted(text, concept, [("workdays_between" if office else "days_between", dict(span))])


def _alias(draw: Draw) -> Hinted | None:
    """A word that stands for a built-in tool of two numbers."""
    word = draw.word()
    tool = draw.rng.choice(("add", "subtract", "multiply", "gcd", "lcm", "remainder"))
    arguments, shown = draw.arguments(tool)
    texts = (
        (
            "<What is|What's> the {w} value of {a} and {b}?",
            "<Find|Compute|Give|Tell me> the {w} value of {a} and {b}.",
            "{a} and {b}: what is their {w} value?",
            "Take {a} and {b}. What is the {w} value?",
        )
        if not draw.held_out
        else ("For {a} and {b}, give the {w} value.",)
    )
    text = unfold(draw.rng.choice(texts), draw.rng).format(w=word, **shown)
    description = BUILTINS[tool].description
    concept = Concept(f"{word.capitalize()} value", f"{word} value", description[0].lower() + description[1:])
    return _hinted(text, concept, [(tool, arguments)])


_FAMILIES: Final[tuple[Callable[[Draw], Hinted | None], ...]] = (_price, _pack, _days, _alias)
