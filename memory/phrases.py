"""Concepts without a model: the wordings that questions share, and the plan shape that they led to.

In: `Experience`s of finished runs. Out: program-synthesis concepts (ArcMemo, arXiv 2509.04439), one for each plan shape
that several questions led to: its cues are what their wordings have in common, with a gap where they differ; its
implementation is the calls, with what comes from the question left open. Values of a question never stand in a cue, so
an answer cannot be remembered. Pure. Neighbours: `abstraction` does it with a model, `updating` takes the drafts in.

>>> asked = [("What is 6 plus 7?", 6, 7, "13"), ("What is 1 plus 2?", 1, 2, "3")]
>>> runs = [Experience("r", q, out, (MadeCall("add", {"a": a, "b": b}, out),)) for q, a, b, out in asked]
>>> [(one.content["cues"], one.content["implementation"]) for one in concepts_from(runs)]
[(['what is ... plus ...'], ['1. add(a=..., b=...)'])]
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from memory.concepts import checked_concept
from memory.experience import Experience, MadeCall
from memory.values import Snapshot
from memory.views import spoken

FEWEST: Final = 2
"""Questions that must have led to a shape, before it is more than an accident."""
MOST_PROBLEMS: Final = 8
_GAP: Final = "..."
_WORD: Final = re.compile(r"[^\W_]+(?:['.,:/-][^\W_]+)*")
_ALIKE: Final = 0.5
_FEWEST_WORDS: Final = 2


def concepts_from(experiences: Iterable[Experience], *, fewest: int = FEWEST) -> list[Snapshot]:
    """The concepts that these experiences show; a question that was asked twice counts once."""
    by_shape: dict[Any, dict[str, Experience]] = {}
    for one in experiences:
        if one.calls:
            by_shape.setdefault(one.shape, {}).setdefault(one.question, one)
    return [draft for alike in by_shape.values() for draft in _drafts(list(alike.values()), fewest)]


def _drafts(ones: Sequence[Experience], fewest: int) -> Iterator[Snapshot]:
    groups = [(cue, group) for cue, group in _by_wording(ones) if len(group) >= fewest and _words(cue) >= _FEWEST_WORDS]
    if not groups:
        return
    sources = [one for _, group in groups for one in group]
    content = {
        "title": title_of_shape(ones[0].calls),
        "kind": "routine",
        "cues": [" ".join(cue) for cue, _ in groups],
        "implementation": _steps(sources),
        "used_in": list(dict.fromkeys(one.source for one in sources)),
        "problems": [{"text": one.question} for one in sources[:MOST_PROBLEMS]],
    }
    provenance = {
        "source": "runs",
        "method": "phrases",
        "runs": list(dict.fromkeys(one.run_id for one in sources)),
        "models": sorted({one.model for one in sources if one.model}),
    }
    yield Snapshot("concept", checked_concept(content), provenance=provenance)


def title_of_shape(calls: Sequence[MadeCall]) -> str:
    """`percent of, then subtract`; `and` where a call needs none of those before it."""
    title = spoken(calls[0].tool)
    for call in calls[1:]:
        title += f"{', then' if call.needs else ' and'} {spoken(call.tool)}"
    return title


def _by_wording(ones: Sequence[Experience]) -> list[tuple[list[str], list[Experience]]]:
    """Groups of questions that are worded alike, each with the words that all of them have."""
    groups: list[tuple[list[str], list[Experience]]] = []
    for one in ones:
        words = _masked(one)
        for place, (cue, group) in enumerate(groups):
            shared = _common(cue, words)
            if _words(shared) >= _ALIKE * max(_words(cue), _words(words)):
                groups[place] = (shared, [*group, one])
                break
        else:
            groups.append((words, [one]))
    return groups


def _masked(one: Experience) -> list[str]:
    """The question's words in lower case, with gaps for numbers and for what the calls were given or gave."""
    given = {word for call in one.calls for value in call.arguments.values() for word in _spelt(value)}
    given |= {word for call in one.calls for word in _spelt(call.result)}
    words = _WORD.findall(one.question.casefold())
    return _closed(_GAP if word in given or any(letter.isdigit() for letter in word) else word for word in words)


def _spelt(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _spelt(item)
    else:
        yield from _WORD.findall(str(value).casefold())


def _common(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """What both have in one order, with gaps for the rest."""
    shared: list[str] = []
    at_first = at_second = 0
    for start_first, start_second, size in difflib.SequenceMatcher(
        None, first, second, autojunk=False
    ).get_matching_blocks():
        if start_first > at_first or start_second > at_second:
            shared.append(_GAP)
        shared.extend(first[start_first : start_first + size])
        at_first, at_second = start_first + size, start_second + size
    return _closed(shared)


def _closed(words: Iterable[str]) -> list[str]:
    """Gaps that stand side by side are one."""
    closed: list[str] = []
    for word in words:
        if word != _GAP or closed[-1:] != [_GAP]:
            closed.append(word)
    return closed


def _words(cue: Sequence[str]) -> int:
    return sum(word != _GAP for word in cue)


def _steps(ones: Sequence[Experience]) -> list[str]:
    """The calls of a shape; an argument is the result of a step, a value that never changes, or open."""
    steps = []
    for place, call in enumerate(ones[0].calls):
        given = [f"{name}={_argument(ones, place, name)}" for name in call.arguments]
        steps.append(f"{place + 1}. {call.tool}({', '.join(given)})")
    return steps


def _argument(ones: Sequence[Experience], place: int, name: str) -> str:
    for need in ones[0].calls[place].needs:
        if all(str(one.calls[place].arguments.get(name)) in (one.calls[need].result, f"${need + 1}") for one in ones):
            return f"result of {need + 1}"
    values = {repr(one.calls[place].arguments.get(name)) for one in ones}
    said = any(set(_spelt(one.calls[place].arguments.get(name))) & set(_spelt(one.question)) for one in ones)
    return values.pop() if len(values) == 1 and not said else _GAP
