"""The views of a row: the texts by which it can be found.

In: a kind and a content. Out: `ViewText`s. A tool is seen by the problems it came from (all of them), its name and the
first line of its docstring (CRAFT, arXiv 2309.17428, section 2.2); a concept by title, cues, description,
implementation, and its problems. Pure. Neighbours: retrieval embeds the texts, ranking weighs the views.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from memory.concepts import form_of
from memory.content import tool_facts
from memory.values import Content, Kind, text_hash

View: TypeAlias = Literal["problem", "name", "docstring", "title", "cue", "description", "implementation"]

TOOL_VIEWS: Final[tuple[View, ...]] = ("problem", "name", "docstring")
CONCEPT_VIEWS: Final[tuple[View, ...]] = ("problem", "title", "cue", "description", "implementation")


@dataclass(frozen=True, slots=True)
class ViewText:
    """One text of one view; a view of several texts is as near as the nearest of them."""

    view: View
    ordinal: int
    text: str
    text_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text_hash", text_hash(self.text))


def views_of(kind: Kind, content: Content) -> tuple[ViewText, ...]:
    return tuple(_tool_views(content) if kind == "tool" else _concept_views(content))


def spoken(name: str) -> str:
    """A name as words, which is what an embedder was trained on: `count_below` is `count below`."""
    return " ".join(name.replace("_", " ").split())


def _tool_views(content: Content) -> Iterator[ViewText]:
    yield from _problem_views(content)
    facts = tool_facts(content["code"], content["name"])
    yield ViewText("name", 0, spoken(facts.name))
    if facts.first_line:
        yield ViewText("docstring", 0, facts.first_line)


def _concept_views(content: Content) -> Iterator[ViewText]:
    yield from _problem_views(content)
    if content.get("title"):
        yield ViewText("title", 0, spoken(content["title"]))
    if form_of(content) == "open-ended":
        # The situation is what a task is compared with, as cues are; the suggestion is what it describes.
        yield ViewText("cue", 0, content["situation"])
        yield ViewText("description", 0, content["suggestion"])
        return
    if content.get("description"):
        yield ViewText("description", 0, content["description"])
    for number, cue in enumerate(content.get("cues", ())):
        yield ViewText("cue", number, cue)
    if content.get("implementation"):
        yield ViewText("implementation", 0, "\n".join(content["implementation"]))


def _problem_views(content: Content) -> Iterator[ViewText]:
    for number, problem in enumerate(content.get("problems", ())):
        yield ViewText("problem", number, problem["text"])
