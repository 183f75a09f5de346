"""Properties of every front end: pieces change nothing, a plan reads back as written, no text makes one raise."""

import keyword
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolsets.errors import PlanError
from toolsets.fronts import FRONTS, Found, parse, parser, render
from toolsets.plan import Plan, PlannedCall, Ref, Template

EVERY_FRONT = list(FRONTS)

SNIPPETS = [
    "<tool_call>", "</tool_call>", '{"name": "f", "arguments": {"a": 1}}', '{"name": "f", "arguments": {"a": 1}',
    '{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "$1"}}', '"tool_calls": [', "[{", "}]",
    "{'name': 'f'", "1. f(a=1)", "2. g($1, \"x\")", "3. join()", "join()", "Thought: it's (fine", "\n", "\n\n", " ",
    "  ", "x = f(1)",
    "y = g(x.n[0], _1)", "f(g(1), b=\"c\")", "for i in x:", "    f(i)", "```python", "```", '"""', "'", '"', "\\", "(",
    ")", "[", "]", "{", "}", ",", ":", "=", "$1", "${1}", "$x", "$$1", "#", "name", '"arguments":', "null", "1e5", "-",
    "<END_OF_PLAN>", "é", "a, b = f()", "x += 1", "f(1", 'f("a', ";", ">>> f(2)", "  f(3)", "\r\n", "\t",
]  # fmt: skip
snippets = st.sampled_from(SNIPPETS)
scraps = st.lists(snippets | st.text(max_size=4), max_size=8).map("".join)
texts = scraps | st.lists(snippets | scraps, max_size=12).map("\n".join)

SAMPLES = [
    """Thought: it's (so)
1. f("a", b='it\\'s "x" y')
2. g(
  "p
3. q", \'\'\'t " ) t\'\'\', [$1.n, {"k": ${1}}]
) # c
3. join()
4. h()""",
    """1. f("no end)
2. g("x", "first name"=$1["a b"])
3. h(1
Thought: y
4. k((1, 2), "")
5. m(12""",
    """I'll see [1]:
[{"name": "f", "arguments": {"a": "say \\"hi\\" {[", "b": [1, {}]}}, {'name': 'g', 'arguments': "{}"}]
[{name: "h",}""",
    """[{"name": "f", "arguments": {"a": 1}, {"name": "g", "arguments": {"b": "it's "so" x"}}]
{"name": "h", "arguments": {"c": 1""",
    """{"role": "assistant", "content": [{"type": "text", "text": "a \\u00e9"},
{"type": "tool_use", "name": "f", "input": {"a": "}"}}]}""",
    """{"choices": [{"message": {"tool_calls" : [
{"id": "c1", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}} ]}}]}""",
    """ \t
<tool_call>{"name": "f", "arguments": {"a": "<"}}</tool_call>
<tool_call>
{"name": "g"
<tool_call>{"name": "h"}</tool_call>""",
    """x = f(1,
  "a")
```python
>>> y: int = g(x.n[0], \'\'\'t
) z\'\'\', f"{x} #")  # c ( "
for i in x:
    f(i)

z = h(1
w = "a" \\
  "b"
k("q
m($1, '\\'')""",
]
"""Every turn of every grammar, well formed and damaged."""


def found_in(front: str, pieces: list[str]) -> tuple[Found, bool]:
    read = parser(front)
    found = [item for piece in pieces for item in read.feed(piece)]
    return found + read.finish(), read.joins


def cut(text: str, places: list[int]) -> list[str]:
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize("front", EVERY_FRONT)
@given(text=texts, places=st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=60)
def test_pieces_of_any_size_change_nothing(front: str, text: str, places: list[int]) -> None:
    whole = found_in(front, [text])
    assert found_in(front, cut(text, places)) == whole
    assert found_in(front, list(text)) == whole


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("front", EVERY_FRONT)
def test_no_cut_through_a_text_changes_what_is_found(front: str, text: str) -> None:
    whole = found_in(front, [text])
    assert found_in(front, list(text)) == whole
    for place in range(len(text)):
        assert found_in(front, [text[:place], text[place:]]) == whole, text[:place]


@pytest.mark.parametrize("text", SAMPLES)
def test_every_sample_holds_calls(text: str) -> None:
    assert len(parse(text)[0]) >= 1


@pytest.mark.parametrize("front", EVERY_FRONT)
def test_a_call_longer_than_the_cap_is_told_once_and_what_it_holds_is_no_call(front: str) -> None:
    inner = '\n2. g(a=1)\n[{"name": "g", "arguments": {}}] ' * 800
    long = render(Plan((PlannedCall("1", "f", {"t": inner}),)), front)
    after = render(Plan((PlannedCall("2", "h", {}),)), front)
    text = f"{long[:-1]}, {after[1:]}" if front == "tool_use" else f"{long}\n{after}\n"
    whole = found_in(front, [text])
    assert found_in(front, cut(text, list(range(0, len(text), 997)))) == whole
    kinds = [item.tool if isinstance(item, PlannedCall) else item.kind for item in whole[0]]
    assert kinds == ["syntax", "h"]


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("join", "true", "false", "null", *keyword.kwlist)
)
numbers = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
tricky = st.sampled_from(
    ["$1", "$$", "${2}", "$x", "{", "}", '"', "'", "\\", "\n", "</tool_call>", "$1.50", "1. f(", "é"]
)
plain_texts = st.text(max_size=6) | st.lists(tricky | st.text(max_size=3), max_size=6).map("".join)
fields = st.from_regex(r"[a-z]{1,4}", fullmatch=True) | st.text(min_size=1, max_size=4)
paths = st.lists(fields | st.integers(-3, 20), max_size=3).map(tuple)


@st.composite
def templates(draw: st.DrawFn, refs: st.SearchStrategy[Ref]) -> Any:
    parts: list[str | Ref] = []
    for part in draw(st.lists(refs | plain_texts, min_size=1, max_size=5)):
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part:
            parts.append(part)
    if len(parts) == 1 and isinstance(parts[0], Ref):
        return parts[0]
    return Template(tuple(parts)) if any(isinstance(part, Ref) for part in parts) else "".join(map(str, parts))


@st.composite
def plans(draw: st.DrawFn, keys: st.SearchStrategy[str]) -> Plan:
    calls = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        leaves: Any = st.none() | st.booleans() | numbers | plain_texts
        if number > 1:
            refs = st.builds(Ref, st.integers(1, number - 1).map(str), paths)
            leaves = leaves | refs | templates(refs)
        values = st.recursive(
            leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
        )
        calls.append(PlannedCall(str(number), draw(names), draw(st.dictionaries(keys, values, max_size=3))))
    return Plan(tuple(calls))


def meaning(plan: Plan) -> list[tuple[str, str, Any, tuple[str, ...]]]:
    return [(call.id, call.tool, call.arguments, call.after) for call in plan]


@pytest.mark.parametrize("front", EVERY_FRONT)
@given(plan=plans(names | st.text(max_size=5)))
@settings(max_examples=30)
def test_a_plan_reads_back_as_it_was_written(front: str, plan: Plan) -> None:
    written = render(plan, front)
    read, diagnostics = parse(written, front)
    assert not diagnostics
    assert meaning(read) == meaning(plan)


@pytest.mark.parametrize("front", EVERY_FRONT)
@given(plan=plans(names))
@settings(max_examples=30)
def test_a_written_plan_is_recognised_without_saying_its_grammar(front: str, plan: Plan) -> None:
    assert meaning(parse(render(plan, front))[0]) == meaning(plan)


@pytest.mark.parametrize("front", EVERY_FRONT)
@given(plan=plans(names))
@settings(max_examples=30)
def test_calls_are_known_while_the_model_is_still_writing(front: str, plan: Plan) -> None:
    read = parser(front)
    written = render(plan, front)
    # Two characters before the end all but the last call have come; the message's brackets do not matter.
    assert len(read.feed(written[:-2])) >= len(plan) - 1


@pytest.mark.parametrize("front", EVERY_FRONT)
def test_names_given_to_calls_are_kept(front: str) -> None:
    if front == "llmcompiler":
        with pytest.raises(PlanError, match="number it"):
            render(Plan((PlannedCall("rome", "f", {}),)), front)
        return
    plan = Plan((PlannedCall("rome", "f", {}), PlannedCall("sum_2", "g", {"a": Ref("rome"), "t": "$rome $other"})))
    assert meaning(parse(render(plan, front), front)[0]) == meaning(plan)


@pytest.mark.parametrize("front", EVERY_FRONT)
@given(text=texts | st.text())
def test_no_text_makes_a_parser_raise_and_every_number_is_finite(front: str, text: str) -> None:
    plan, diagnostics = parse(text, front)
    assert all(call.line >= 1 and call.tool for call in plan)
    assert all(one.line >= 1 and one.message.endswith(".") and "\n" not in one.message for one in diagnostics)
    assert not [call for call in plan if _infinite(call.arguments)]


@pytest.mark.parametrize("front", EVERY_FRONT)
def test_earlier_calls_can_be_referred_to_and_numbers_go_on(front: str) -> None:
    plan, _ = parse(render(Plan((PlannedCall("4", "f", {"a": "x"}),)), front), front, earlier=["1", "2", "3"])
    assert [call.id for call in plan] == ["4"]
    known, _ = parse(_with_text(front, "as $2 says"), front, earlier=["1", "2"])
    assert known.calls[0].arguments["a"] == Template(("as ", Ref("2"), " says"))
    unknown, _ = parse(_with_text(front, "as $2 says"), front)
    assert unknown.calls[0].arguments["a"] == "as $2 says"


def _with_text(front: str, text: str) -> str:
    return render(Plan((PlannedCall("1", "f", {"a": "TEXT"}),)), front).replace("TEXT", text)


def _infinite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_infinite, value.values()))
    if isinstance(value, list):
        return any(map(_infinite, value))
    return isinstance(value, float) and not math.isfinite(value)
