"""What a run is given of the library: tools that it may call beside the usual ones, concepts in its prompt, and why.

In: the library, a task, the tools that are offered anyway. Out: `Found`, and once the model's tokens can be counted, a
`Recalled` with the tools, the text and the `library_shown` events; after the run, what was used and how it ended goes
back into the library. Searching is slow and done beside the runs that go on; the rest is quick. Neighbours: `session`
calls `find`, `prepare`, `begun` and `ended` in this order; `memory.retrieval` searches, `memory.rendering` writes.

Which tools (CRAFT, arXiv 2309.17428): every question of a task is a query of its own, and rows take turns by rank. The
embedded model keeps the built-in tools, which it was trained with, and gets what was made or imported beside them;
another model gets the tools that fit, and the built-in ones where none does. A library that has nothing but the
built-in tools changes nothing, and is not asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memory.errors import RowNotFound
from memory.rendering import render_concepts
from memory.values import Kind, Row
from toolsets.tool import Tool
from workbench import events as ev

if TYPE_CHECKING:
    from memory.abstraction import Ask
    from memory.retrieval import Found as Hit
    from memory.retrieval import Searcher
    from workbench.libraries import Libraries

MEMORY: Final = ("none", "fixed", "continual")
"""Does a run know the library: no, yes, or yes and the library learns from it when it has ended."""
MORE_TOOLS: Final = 8
CONCEPTS: Final = 5
CONCEPT_TOKENS: Final = 512
_BY_NAME: Final = 20
"""Concepts beyond the selected ones that may be named where room is."""
_MOST_QUERIES: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of the library a run may be given. keeps_base: the tools that are offered anyway stay."""

    tools: int = MORE_TOOLS
    concepts: int = CONCEPTS
    concept_tokens: int = CONCEPT_TOKENS
    keeps_base: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What fits a task, the best first."""

    tools: tuple[Hit, ...] = ()
    concepts: tuple[Hit, ...] = ()
    """The selected ones and, after them, others that may be named."""
    chosen: int | None = None
    """How many of the concepts a model selected; None where none was asked."""
    misspelt: tuple[str, ...] = ()
    """Names that the model selected and no concept has, a sentence each."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What one run is given."""

    tools: Mapping[str, Tool]
    text: str = ""
    """The concepts, for the prompt."""
    shown: tuple[ev.LibraryShown, ...] = ()
    row_ids: Mapping[tuple[Kind, str], str] | None = None
    """By kind and name, the rows that were shown."""
    refused: tuple[str, ...] = ()
    """Why a tool that fits could not be offered or a concept not be shown, a sentence each."""


def find(home: Libraries, questions: Sequence[str], wanted: Wanted, ask: Ask | None = None) -> Found:
    """Search for every question of a task; what several find is found once. ask: a model that selects among the
    concepts that were found. Raises LibraryError."""
    if not home.exists:
        return Found()
    from toolsets.shelf import is_builtin

    tools = [row for row in home.library.rows("tool", states=("active",)) if not is_builtin(row)]
    concepts = home.library.rows("concept", states=("active",))
    found = Found()
    if tools and wanted.tools:
        keep: Callable[[Row], bool] = (lambda row: not is_builtin(row)) if wanted.keeps_base else (lambda row: True)
        found = Found(_turns(home.searcher, questions, "tool", wanted.tools, keep))
    if concepts and wanted.concepts:
        limit = wanted.concepts + _BY_NAME
        hits = _turns(home.searcher, questions, "concept", limit, lambda row: True)
        found = Found(found.tools, hits) if ask is None or not hits else _selected(found, hits, questions, ask)
    return found


def _selected(found: Found, hits: Sequence[Hit], questions: Sequence[str], ask: Ask) -> Found:
    """What the model selects comes first, in its order."""
    from memory.selection import select

    selection = select("\n".join(questions), [hit.row.content for hit in hits], ask)
    by_name = {hit.row.name: hit for hit in reversed(hits)}
    first = [by_name[name] for name in selection.found]
    rest = [hit for hit in hits if hit not in first]
    misspelt = tuple(
        f"The model selected a concept {name!r}, which there is not" + (f"; {near!r} is near." if near else ".")
        for name, near in selection.unknown
    )
    return Found(found.tools, (*first, *rest), len(first), misspelt)


def prepare(
    home: Libraries,
    found: Found,
    base: Mapping[str, Tool],
    wanted: Wanted,
    *,
    count_tokens: Callable[[str], int],
    without: Collection[str] = (),
    unsafe: Collection[str] = (),
) -> Recalled:
    """Load the tools and write the concepts. without: ids of rows that this run must do without."""
    # A name of the person's own tools, or of the built-in ones that stay, is taken.
    taken = base.keys() if wanted.keeps_base else ()
    tool_hits = [hit for hit in found.tools if hit.row.row_id not in without and hit.row.name not in taken]
    refused: list[str] = []
    if tool_hits:
        from toolsets.shelf import tools_of

        loaded = tools_of(
            home.library,
            [hit.row.row_id for hit in tool_hits],
            unsafe=unsafe,
            more=base,
            refused=lambda _, why: refused.append(why),
        )
    else:
        loaded = {}
    tools = {**base, **loaded} if wanted.keeps_base or not loaded else loaded
    tool_hits = [hit for hit in tool_hits if hit.row.name in loaded]
    concept_hits = [hit for hit in found.concepts if hit.row.row_id not in without]
    in_full = min(wanted.concepts, found.chosen if found.chosen is not None else wanted.concepts)
    chosen = {hit.row.row_id for hit in found.concepts[:in_full]}
    selected = [hit for hit in concept_hits if hit.row.row_id in chosen]
    others = [hit for hit in concept_hits if hit.row.row_id not in chosen]
    rendering = render_concepts(
        [hit.row.content for hit in selected],
        [hit.row.content for hit in others],
        max_tokens=wanted.concept_tokens,
        count_tokens=count_tokens,
    )
    told = {*rendering.in_full, *rendering.by_name}
    shown_concepts = [hit for hit in concept_hits if " ".join(hit.row.name.split()) in told]
    whole = set(rendering.in_full)
    parts = (("tool", tool_hits), ("concept", shown_concepts))
    return Recalled(
        tools,
        rendering.text,
        tuple(ev.LibraryShown(kind, [_shown(hit, whole) for hit in hits]) for kind, hits in parts if hits),
        {(hit.row.kind, hit.row.name): hit.row.row_id for _, hits in parts for hit in hits},
        (*refused, *found.misspelt),
    )


def begun(home: Libraries, run_id: str, recalled: Recalled) -> None:
    """Write down what the run was shown, and why."""
    why = {shown["row"]: shown["why"] for event in recalled.shown for shown in event.rows}
    if why:
        home.library.record_retrieval(run_id, why)


def ended(home: Libraries, run_id: str, recalled: Recalled, *, called: Iterable[str], said: str, solved: bool) -> None:
    """Write down which rows were used (a tool that was called, a concept that a worker named) and how the run ended."""
    if not recalled.row_ids:
        return
    used = set(called)
    with home.library.writing():
        for (kind, name), row_id in recalled.row_ids.items():
            if name in used if kind == "tool" else _names(said, name):
                with suppress(RowNotFound):  # it was purged meanwhile; what became of the others is kept
                    home.library.record_use(run_id, row_id)
        home.library.record_outcome(run_id, solved)


def _turns(
    searcher: Searcher, questions: Sequence[str], kind: Kind, limit: int, keep: Callable[[Row], bool]
) -> tuple[Hit, ...]:
    """The questions' best rows first, then their second best, and so on."""
    ranked = []
    for question in list(dict.fromkeys(questions))[:_MOST_QUERIES]:
        # The built-in tools take places too, until they are left out.
        found = searcher.search(question, kind, limit=limit + 100).found
        ranked.append([hit for hit in found if keep(hit.row)])
    chosen: dict[str, Hit] = {}
    for place in range(max(map(len, ranked), default=0)):
        turn = [hits[place] for hits in ranked if place < len(hits)]
        for hit in sorted(turn, key=lambda hit: -hit.hit.score):
            chosen.setdefault(hit.row.row_id, hit)
    return tuple(chosen.values())[:limit]


def _shown(hit: Hit, in_full: Collection[str]) -> ev.Shown:
    best = hit.hit.evidence[0] if hit.hit.evidence else None
    why: dict[str, Any] = {
        "view": best.view if best else "",
        "exemplar": best.text if best else "",
        "score": round(hit.hit.score, 4),
        "fit": round(hit.hit.fit, 4),
        "evidence": [
            {"view": one.view, "channel": one.channel, "score": round(one.score, 4), "text": one.text}
            for one in hit.hit.evidence[:3]
        ],
    }
    if hit.row.kind == "concept":
        why["in_full"] = " ".join(hit.row.name.split()) in in_full
    return ev.Shown(row=hit.row.row_id, name=hit.row.name, version=hit.row.version, why=why)


def _names(text: str, name: str) -> bool:
    """Whether a text names a concept, capitals and spaces aside."""
    text, name = (unicodedata.normalize("NFC", one).replace("_", " ") for one in (text, name))
    pattern = r"\s+".join(map(re.escape, name.split()))
    return bool(pattern) and re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE) is not None
