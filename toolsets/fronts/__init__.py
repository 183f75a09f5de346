"""Front ends: five grammars in which models write calls, read to one `Plan`.

In: a model's text, whole or in pieces, or a message of a chat interface. Out: a plan, and a diagnostic for each call
that cannot be read. Neighbours: `check` judges the plan, the executor runs it. Pure: nothing here knows the tools.

    tool_calls    <tool_call>{"name": ..., "arguments": {...}}</tool_call>, or an OpenAI message
    tool_use      Anthropic's content blocks
    llmcompiler   1. gcd(a=12, b=18)   2. add(a=$1, b=3)   join()
    dta           [{"name": ..., "arguments": {...}}, ...], one list for a round
    python        g = gcd(12, 18)   add(g, 3)
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from toolsets.diagnostics import Diagnostic, DiagnosticKind
from toolsets.errors import PlanError
from toolsets.fronts import dta, llmcompiler, python_calls, tool_calls, tool_use
from toolsets.fronts.front import Found, Front, Parser, gathered
from toolsets.plan import Plan

__all__ = ["FRONTS", "Found", "Front", "Parser", "detect", "parse", "parser", "render"]

FRONTS: Final[Mapping[str, Front]] = {
    front.name: front for front in (tool_calls.FRONT, tool_use.FRONT, llmcompiler.FRONT, dta.FRONT, python_calls.FRONT)
}
"""By name; where two find calls at the same place of a text, the first one counts."""


def parser(front: str, earlier: Collection[str] = ()) -> Parser:
    """A parser for one text that arrives in pieces. earlier: ids of calls of former rounds, which it may refer to."""
    return _front(front).parser(earlier)


def parse(
    text: str | Mapping[str, Any] | Sequence[Any], front: str = "auto", earlier: Collection[str] = ()
) -> tuple[Plan, list[Diagnostic]]:
    """The plan of a whole text, or of a message or its content blocks. auto: the grammar whose call comes first.

    >>> plan, diagnostics = parse("1. gcd(a=12, b=18)\\n2. add(a=$1, b=3)\\njoin()")
    >>> [(call.id, call.tool, call.arguments) for call in plan]
    [('1', 'gcd', {'a': 12, 'b': 18}), ('2', 'add', {'a': Ref(call='1', path=()), 'b': 3})]
    >>> plan.joins, diagnostics
    (True, [])
    """
    written = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    front = detect(written, earlier) if front == "auto" else front
    return gathered(parser(front, earlier), [written])


def detect(text: str, earlier: Collection[str] = ()) -> str:
    """The grammar that a text is written in: the one whose call comes first.

    >>> detect("1. gcd(a=12, b=18)"), detect("g = gcd(12, 18)")
    ('llmcompiler', 'python')
    """
    results = {name: gathered(front.parser(earlier), [text]) for name, front in FRONTS.items()}
    return min(results, key=lambda name: _rank(*results[name], text))


def render(plan: Plan, front: str) -> str:
    """A plan in one grammar, e.g. as an example for a prompt; raises PlanError where the grammar cannot say it."""
    return _front(front).render(plan)


def _front(name: str) -> Front:
    if name not in FRONTS:
        raise PlanError(f"There is no front end {name!r}: use one of {', '.join(FRONTS)}.")
    return FRONTS[name]


def _rank(plan: Plan, diagnostics: list[Diagnostic], text: str) -> tuple[bool, bool, int]:
    """Less is better: calls before none, something wrong before nothing at all, then the place of the first call."""
    syntax = any(diagnostic.kind == DiagnosticKind.SYNTAX for diagnostic in diagnostics)
    first = text.find(plan.calls[0].raw) if plan.calls else 0
    return not plan.calls, not (plan.calls or plan.joins or syntax), first
