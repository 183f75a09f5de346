"""Telling a model how to write its calls, where its own chat template does not, and an answer of some form.

In: a prompting, the front end of a run, a schema. Out: the prompting with the grammar explained. Pure. Neighbours:
`driver` asks for it, `toolsets.fronts` writes the examples, so that what is shown is what will be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hogwild.prompting import Prompting
from toolsets.fronts import render
from toolsets.plan import Plan, PlannedCall, Ref

_EXAMPLE = Plan(
    (
        PlannedCall("1", "first_tool", {"x": 1, "unit": "km"}),
        PlannedCall("2", "second_tool", {"x": 2}),
        PlannedCall("3", "third_tool", {"a": Ref("1"), "b": Ref("2", ("rows", 0, "name"))}),
    )
)
_HOW = {
    "tool_calls": "Call a tool by one line of this form; its result follows it:",
    "llmcompiler": "Call tools by numbered lines, and write join() when you want the results:",
    "python": "Call tools by lines of Python, and write join() when you want the results:",
    "dta": "Call tools by one list for all calls that can be planned now; the results follow it:",
    "tool_use": "Call tools by one list of tool_use blocks; the results follow it:",
}
_REFERENCES = '"$1" stands for the whole result of call 1, "$1.field" and "$1[0]" for a part of it.'
_ASYNCHRONOUS = (
    "Tools run while you go on writing: a result appears in your text as soon as it is there, with the number of its "
    "call. Do not make it up before."
)


def with_grammar(
    words: Prompting, front: str, *, asynchronous: bool, tools: bool, template: str | None = None
) -> Prompting:
    """The prompting of a run whose workers write calls in this grammar; unchanged for what it was made for. template:
    the model's chat template, which is trusted to explain tools where it speaks of them."""
    if not tools:
        return words
    if front != words.front or (words.tools_in_template and "tools" not in (template or "")):
        plan = Plan(_EXAMPLE.calls, joins=front in ("llmcompiler", "python"))
        how = f"\n\n{_HOW[front]}\n{render(plan, front)}\n{_REFERENCES}"
        words = replace(words, tools_in_template=False, tools=words.tools + _escaped(how))
    if asynchronous:
        words = replace(words, rules=f"{words.rules}\n\n{_ASYNCHRONOUS}")
    return words


def with_answer(words: Prompting, schema: Mapping[str, Any]) -> Prompting:
    """The prompting of a run whose answer is to be JSON of this schema."""
    how = json.dumps(schema, ensure_ascii=False).replace("{names}", "{ names }")
    return replace(words, rules=f"{words.rules}\n\nThe final answer is JSON of this schema, and nothing else: {how}")


def writes_json(words: Prompting, front: str, template: str | None) -> bool:
    """Whether workers are asked to write calls as JSON between tags. words: as `with_grammar` gives them. template: as
    there; newer models of the Qwen family are told of other tags."""
    return front == "tool_calls" and not (words.tools_in_template and "<function=" in (template or ""))


def _escaped(text: str) -> str:
    """`Prompting.tools` has one placeholder, and the example must not hold it."""
    return text.replace("{tools}", "{ tools }")
