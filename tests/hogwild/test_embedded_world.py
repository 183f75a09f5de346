"""The worksheets that the embedded model is taught with, and the scripted workers that solve them.

In: seeds. Out: facts about questions, calls, concepts, tools, and about what scripted workers do and may know.
Neighbours: `hogwild.embedded.world` and its parts, `script`, `board`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from hogwild.embedded.hints import draw_hinted
from hogwild.embedded.made_tools import FORMULAS, FORMULAS_HELD_OUT, make_shelf
from hogwild.embedded.outside import ADDS, QUESTIONS, REFUSAL, SKIPS
from hogwild.embedded.plans import CHAINS, CONDITIONS, DIAMONDS, FANS, FANS_OF_THREE, LONGER
from hogwild.embedded.script import SLIP, STEADY, Habits, Lesson, call_text, plan_response, play
from hogwild.embedded.typed import FRAMES, JOINTS, JOINTS_OF_THREE, draw_several, draw_sum
from hogwild.embedded.wordings import as_expression
from hogwild.embedded.worksheets import NUMBER_WORDS, Draw, Item, Worksheet
from hogwild.embedded.world import Scope, make_sheet, needed_tools, shelf_of
from hogwild.layouts import COMBINED, CONTIGUOUS, INDEPENDENT, INTERLEAVED
from memory.concepts import checked_concept
from memory.rendering import render_concept
from toolsets.builtin import BUILTINS
from toolsets.direct import run_direct
from toolsets.exact import rounded
from toolsets.fronts import parse
from toolsets.parse import ToolCall
from toolsets.plan import Ref
from toolsets.rendering import render_result
from toolsets.results import CallOutcome
from toolsets.rounds import render_round
from toolsets.standard import STANDARD

EVERYTHING = Scope(
    (4, 7),
    {
        "call": 0.2,
        "hasty": 0.2,
        "plan": 0.2,
        "rounds": 0.15,
        "sum": 0.3,
        "several": 0.2,
        "uses": 0.2,
        "concept": 0.2,
        "made": 0.2,
        "refusal": 0.1,
    },
    given=0.8,
    misleading=(0, 2),
    lines=0.5,
)


class Letters:
    """A token is a letter, so that lessons can be read back."""

    end = 0

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def prompt(self, system: str, user: str) -> list[int]:
        return self.encode(system + "\n" + user)


def solve(
    sheet: Worksheet, workers: int = 3, habits: Habits = STEADY, layout: Any = CONTIGUOUS
) -> tuple[Lesson, dict[str, str]]:
    """The lesson, and what stands in all blocks of each worker."""
    lesson = play(sheet, Letters(), workers, layout, rng=random.Random(sheet.seed), habits=habits)
    texts: dict[str, str] = {}
    for chunk in lesson.tape.chunks:
        texts[chunk.worker] = texts.get(chunk.worker, "") + "".join(map(chr, chunk.tokens))
    return lesson, texts


def worked_out(item: Item, tools: Mapping[str, Any]) -> str:
    """What the calls give when they are read by the front end and run one after the other."""
    text = ""
    for calls in item.rounds:
        plan, diagnostics = parse("".join(call_text(call) for call in calls), "tool_calls")
        assert not diagnostics
        values: dict[str, Any] = {}
        for call in plan:
            arguments = {name: meant(value, values) for name, value in call.arguments.items()}
            result = run_direct(ToolCall(call.tool, arguments, ""), tools)
            values[call.id], text = result.value, result.text
    return text


SPELLED = {
    "added to": "+", "plus": "+", "minus": "-", "less": "-", "times": "*", "multiplied by": "*", "divided by": "/",
    "over": "/", "to (?:the )?power(?: of)?": "**", "raised to": "**",
    **{word: number for number, word in NUMBER_WORDS.items()},
}  # fmt: skip

GOES_ON = re.compile(r"[.,;:?] (?:and then|then|now please|now|next,|after that,) ([a-z ]+?) (-?\d[\d.]*?)( .*)?\.?$")
CONTINUED = {
    "(raise (it|that|the result) )?to the power of": "**",
    "add|plus|(increase|raise) (it|that) by": "+",
    "subtract|minus|take away|(decrease|lower) it by": "-",
    "multiply [a-z ]+ (by|with)|times": "*",
    "divide [a-z ]+ by|divided by": "/",
}
"""A sentence in which a sum goes on."""


class Exact(Fraction):
    """An exact number whose quotients are rounded as the tool rounds them, on the way, too."""

    def __truediv__(self, other: Any) -> Any:
        return Exact(str(rounded(Fraction(self) / other)))


def kept(name: str) -> Any:
    operation = getattr(Fraction, name)
    return lambda *values: Exact(operation(*map(Fraction, values)))


for name in ("__add__", "__sub__", "__mul__", "__pow__", "__neg__"):
    setattr(Exact, name, kept(name))


def meant(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [meant(one, values) for one in value]
    return values[value.call] if isinstance(value, Ref) else value


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_calls_of_every_item_give_its_answer(split: Any) -> None:
    kinds = set()
    for seed in range(40):
        sheet = make_sheet(seed, EVERYTHING, split)
        tools = {tool.name: tool for tool in sheet.tools}
        assert needed_tools(sheet) <= set(tools)
        for item in sheet.items:
            kinds.add(item.kind)
            given = "" if item.answer == REFUSAL else item.answer
            assert worked_out(item, tools) == (item.calls[-1].result if item.kind == "several" else given)
    assert kinds == set(EVERYTHING.kinds)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_sum_means_what_it_means_in_python(split: Any) -> None:
    draw, calls, words, continued = Draw(random.Random(split), split), set(), set(), set()
    for _ in range(600):
        task = draw_sum(draw)
        signs = str.maketrans({"×": "*", "x": "*", "÷": "/", "−": "-"})
        question, beyond = task.question.lower(), ""
        if found := GOES_ON.search(question):
            question = question[: found.start()]
            (beyond,) = (f"{sign} {found[2]}" for pattern, sign in CONTINUED.items() if re.fullmatch(pattern, found[1]))
            continued.add(beyond[:2])
        for word, sign in SPELLED.items():
            question, found = re.subn(rf"\b{word}\b", sign, question)
            words.update({word} if found else ())
        (sum_of,) = re.findall(r"[-(\d][-+*/^x×÷−().\d ]*", re.sub("[a-wyz']+", "", question))
        written = sum_of.strip(" .").translate(signs).replace("^", "**")
        written = f"({written}) {beyond}" if beyond else written
        meant = eval(re.sub(r"\d[\d.]*", r"Exact('\g<0>')", written))
        assert float(task.answer) == pytest.approx(meant, rel=1e-9, abs=1e-9)
        calls.add(len(task.rounds[0]))
    assert calls == {1, 2, 3, 4}
    assert ({"plus", "times", "divided by", "three"} <= words) == (split == "train")
    assert ({"+ ", "- ", "* ", "/ "} <= continued) == (split == "train")


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_several_questions_have_the_answers_of_all_of_them(split: Any) -> None:
    draw, parts = Draw(random.Random(split), split), set()
    for _ in range(60):
        task = draw_several(draw)
        (calls,) = task.rounds
        assert re.split(r", | and ", task.answer) == [call.result for call in calls]
        parts.add(len(calls))
    assert parts == {2, 3}


def test_what_is_typed_in_a_hurry_is_held_out_apart() -> None:
    for bank in (FRAMES, JOINTS, JOINTS_OF_THREE):
        trained = [as_expression(re.sub(r"\{[xqn]\}", "@", pattern)) for pattern in bank["train"]]
        for pattern in bank["held_out"]:
            assert not [one for one in trained if re.fullmatch(one, re.sub(r"\{[xqn]\}", "@", pattern))]


def test_a_seed_always_gives_the_same_worksheet() -> None:
    first, again = make_sheet(7, EVERYTHING), make_sheet(7, EVERYTHING)
    assert (first.text(), first.concepts, first.items) == (again.text(), again.concepts, again.items)
    assert first.text() != make_sheet(8, EVERYTHING).text()


@pytest.mark.parametrize("shape", ["chain2", "chain3", "chain4", "fan2", "fan3", "diamond"])
def test_a_plan_has_the_shape_it_was_asked_for(shape: str) -> None:
    sheet = make_sheet(3, Scope((4, 4), {"plan": 1.0}, (shape,)))
    for item in sheet.items:
        (calls,) = item.rounds
        needs = [sorted({part for value in call.arguments.values() for part in references(value)}) for call in calls]
        wanted = {
            "chain2": [[], ["$1"]], "chain3": [[], ["$1"], ["$2"]], "chain4": [[], ["$1"], ["$2"], ["$3"]],
            "fan2": [[], [], ["$1", "$2"]], "fan3": [[], [], [], ["$1", "$2", "$3"]],
            "diamond": [[], ["$1"], ["$1"], ["$2", "$3"]],
        }  # fmt: skip
        assert needs == wanted[shape]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [part for one in value for part in references(one)]
    return [value] if isinstance(value, str) and value.startswith("$") else []


@pytest.mark.parametrize(
    "bank", [CHAINS, LONGER, FANS, FANS_OF_THREE, DIAMONDS, CONDITIONS, QUESTIONS, SKIPS, ADDS],
    ids=["chains", "longer", "fans", "fans3", "diamonds", "conditions", "outside", "skips", "adds"],
)  # fmt: skip
def test_no_template_is_both_trained_on_and_held_out(bank: Mapping[str, tuple[str, ...]]) -> None:
    assert bank["held_out"]
    assert not set(bank["train"]) & set(bank["held_out"])


def test_a_shelf_with_the_standard_tools_has_more_than_300_and_no_name_twice() -> None:
    for split in ("train", "held_out"):
        names = [made.tool.name for made in make_shelf(0, split)]  # type: ignore[arg-type]
        assert len(set(names)) == len(names)
        assert not set(names) & set(BUILTINS)
        assert len(names) + len(STANDARD) > 300


def test_held_out_tools_are_never_on_a_training_shelf() -> None:
    held_out = make_shelf(0, "held_out")
    for seed in range(12):
        trained = make_shelf(seed, "train", words=90 * (seed % 2))
        assert not {made.tool.name for made in held_out} & {made.tool.name for made in trained}
        assert not {made.tool.description for made in held_out} & {made.tool.description for made in trained}
    assert not {one.description for one in FORMULAS} & {one.description for one in FORMULAS_HELD_OUT}


def test_tools_of_one_shelf_share_words_where_that_is_asked_for() -> None:
    def words_of(words: int) -> int:
        invented = [made for made in make_shelf(0, words=words) if not made.means]
        return len({word for made in invented for word in made.tool.description.lower().split()})

    assert words_of(40) <= 40 + len(("of", "the", "with", "number"))
    assert words_of(0) > 300


def test_unseen_tools_take_every_kind_of_argument() -> None:
    kinds = {kind for made in make_shelf(0, "held_out") for kind in made.kinds.values()}
    assert kinds == {"int", "number", "text", "date", "list"}


def test_concepts_stand_in_the_prompt_as_the_library_renders_them() -> None:
    draw = Draw(random.Random(5), "train")
    for _ in range(30):
        concept = draw_hinted(draw).concept
        held = {"title": concept.title, "kind": "routine", "cues": [concept.cue], "implementation": [concept.how]}
        assert concept.rendered() == render_concept(checked_concept({"form": "program-synthesis", **held}))


def test_without_its_concept_a_question_gets_a_refusal() -> None:
    asked = Scope((3, 3), {"concept": 1.0})
    for seed in range(10):
        known, unknown = make_sheet(seed, asked), make_sheet(seed, replace(asked, given=0.0))
        assert all(item.rounds for item in known.items)
        assert not unknown.concepts
        assert {item.answer for item in unknown.items} == {REFUSAL}


def test_the_result_of_one_call_among_several_reads_as_the_library_of_calls_tells_it() -> None:
    outcome = CallOutcome("p", "2", "add", "succeeded", "35")
    assert plan_response(2, "add", "35") == render_round([outcome])
    assert render_result(35) == "35"


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
@pytest.mark.parametrize("layout", [CONTIGUOUS, INTERLEAVED, COMBINED], ids=lambda layout: layout.name)
def test_scripted_workers_answer_every_item_and_take_what_they_see_taken_only_once(workers: int, layout: Any) -> None:
    for seed in range(3):
        sheet = make_sheet(seed, replace(EVERYTHING, lines=0.0))
        lesson, _ = solve(sheet, workers, layout=layout)
        taken = sorted(number for _, number in lesson.claims)
        # In the interleaved layout a peer's claim is seen only when its step has ended.
        assert sorted(set(taken)) == [item.number for item in sheet.items]
        assert layout is INTERLEAVED or len(set(taken)) == len(taken)
        wanted = {item.number: "no result" if item.failed else item.answer for item in sheet.items}
        assert lesson.answers == wanted


def test_workers_that_do_not_see_each_other_take_items_twice() -> None:
    taken = [number for _, number in solve(make_sheet(2, Scope((5, 5))), 2, layout=INDEPENDENT)[0].claims]
    assert len(taken) > 5


def test_an_item_that_builds_on_another_is_taken_after_that_answer_is_seen() -> None:
    seen, said = 0, ""
    for seed in range(20):
        sheet = make_sheet(seed, Scope((3, 5), {"call": 0.5, "uses": 0.5}))
        lesson, texts = solve(sheet, 2)
        said += "".join(texts.values())
        order = [number for _, number in lesson.claims]
        for item in sheet.items:
            seen += len(item.needs)
            assert all(order.index(base) < order.index(item.number) for base in item.needs)
    assert seen > 10
    assert "I wait for" in said
    assert "use my result" in said


def test_a_dropped_item_is_left_alone_and_an_added_one_is_done() -> None:
    dropped = added = 0
    for seed in range(40):
        sheet = make_sheet(seed, Scope((4, 6), lines=1.0))
        lesson, texts = solve(sheet, 2)
        if not sheet.lines or not any(sheet.lines[0].text in text for text in texts.values()):
            continue
        line = sheet.lines[0]
        if line.kind == "add":
            added += 1
            assert line.item is not None
            assert lesson.answers[line.number] == line.item.answer
        elif line.number not in lesson.answers:
            dropped += 1
            assert line.number not in [number for _, number in lesson.claims]
            assert f"{line.number}: skipped" in "".join(texts.values())
    assert dropped > 3
    assert added > 3


def test_a_slip_is_noticed_and_never_learned() -> None:
    noticed = 0
    for seed in range(10):
        lesson, texts = solve(make_sheet(seed, Scope((5, 7))), 3, Habits(slips=0.4, check_every=30))
        slips = [choice for choice in lesson.choices if choice.kind == SLIP]
        said = "".join(texts.values())
        noticed += said.count(" already.")
        assert bool(slips) == (" already." in said)
        assert sorted(number for _, number in lesson.claims) == sorted(lesson.answers)
        assert "Is this done twice?\nYes" not in said or slips
    assert noticed > 5


def test_a_call_that_failed_for_a_passing_reason_is_made_again() -> None:
    _, texts = solve(make_sheet(1, Scope((5, 5), {"call": 0.5, "plan": 0.5})), 2, Habits(busy=1.0))
    said = "".join(texts.values())
    assert said.count("That failed, I try again.") == 5


def test_near_tools_share_more_words_with_the_questions_than_others_do() -> None:
    def shared(near: float) -> float:
        found = []
        for seed in range(20):
            scope = Scope((2, 4), {"made": 1.0}, listed={"eight": 1.0}, words=90, near=near)
            sheet = make_sheet(seed, scope)
            asked = set(re.findall(r"[a-z]{3,}", sheet.text().lower()))
            others = [tool for tool in sheet.tools if tool.name not in needed_tools(sheet)]
            assert len(sheet.tools) == 8
            assert len(others) >= 4
            found += [len(set(re.findall(r"[a-z]{3,}", tool.line().lower())) & asked) for tool in others]
        return sum(found) / len(found)

    assert shared(1.0) > 2 * shared(0.0)


def test_the_tool_of_an_absent_item_is_not_listed_and_the_item_is_refused() -> None:
    refused = 0
    for seed in range(40):
        scope = Scope((3, 5), {"made": 0.5, "absent": 0.5}, listed={"eight": 1.0}, words=90, near=1.0)
        sheet = make_sheet(seed, scope)
        listed = {tool.name for tool in sheet.tools}
        shelf = [made for made in shelf_of(seed, "train", 90) if made.noun]
        for item in sheet.items:
            # A question that was typed in a hurry has no articles.
            said = item.question.lower().replace("the ", "")
            asked = {made.tool.name for made in shelf if made.noun.split("{")[0].replace("the ", "") in said}
            assert bool(asked & listed) == bool(item.calls)
            assert bool(item.calls) != (item.answer == REFUSAL)
            refused += not item.calls
    assert refused > 40
