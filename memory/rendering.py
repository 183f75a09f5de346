"""Concepts as text for a prompt, never longer than it may be.

In: concepts, the selected ones and others, a limit and a counter of tokens. Out: a `Rendering`, which says what went in
in full, what only by name, and what was left out. A concept is data: its lines are indented under its title, so that
none of them can pass for a heading of the prompt. Neighbours: concepts, whose fields are written out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from memory.concepts import form_of
from memory.values import Content, title_of

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Rendering:
    """A text for a prompt, and what it holds."""

    text: str
    num_tokens: int
    in_full: tuple[str, ...]
    by_name: tuple[str, ...]
    left_out: tuple[str, ...]


def render_concepts(
    selected: Sequence[Content], others: Sequence[Content], *, max_tokens: int, count_tokens: CountTokens
) -> Rendering:
    """The selected concepts in full, in their order, as far as they fit; the rest by name where room is."""
    in_full: list[Content] = []
    by_name: list[Content] = []
    left_out: list[Content] = []
    # The whole text is counted each time: tokens do not add up over the parts of a text.
    for concept in selected:
        fits = count_tokens(_text([*in_full, concept], [])) <= max_tokens
        (in_full if fits else by_name).append(concept)
    named: list[Content] = []
    for concept in [*by_name, *others]:
        fits = count_tokens(_text(in_full, [*named, concept])) <= max_tokens
        (named if fits else left_out).append(concept)
    text = _text(in_full, named)
    return Rendering(text, count_tokens(text), *(_titles(part) for part in (in_full, named, left_out)))


def render_concept(concept: Content) -> str:
    """One concept in full."""
    lines = [f"- {_one_line(title_of('concept', concept))}"]
    if form_of(concept) == "open-ended":
        if concept.get("title"):
            lines.extend(_field("situation", concept["situation"]))
        lines.extend(_field("suggestion", concept["suggestion"]))
        return "\n".join(lines)
    kind = concept["kind"]
    subtype = concept.get("routine_subtype")
    lines.extend(_field("kind", f"{kind} ({subtype})" if subtype else kind))
    lines.extend(_field("description", concept.get("description")))
    if concept.get("parameters"):
        lines.append("  parameters:")
        lines.extend(f"    {line}" for line in _parameter_lines(concept["parameters"]))
    lines.extend(_field("returns", concept.get("output_typing")))
    lines.extend(_list("when", concept.get("cues", ())))
    lines.extend(_list("how", concept.get("implementation", ())))
    return "\n".join(lines)


def _text(in_full: Sequence[Content], named: Sequence[Content]) -> str:
    blocks = [render_concept(concept) for concept in in_full]
    if named:
        blocks.append(f"- {'other concepts' if in_full else 'concepts'}: {'; '.join(_titles(named))}")
    return "\n".join(blocks)


def _titles(concepts: Sequence[Content]) -> tuple[str, ...]:
    return tuple(_one_line(title_of("concept", concept)) for concept in concepts)


def _field(name: str, value: str | None) -> list[str]:
    return [f"  {name}: {_one_line(value)}"] if value else []


def _list(name: str, values: Sequence[str]) -> list[str]:
    return [f"  {name}:", *(f"    - {_one_line(value)}" for value in values)] if values else []


def _parameter_lines(parameters: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for parameter in parameters:
        typing = f" ({_one_line(parameter['typing'])})" if parameter.get("typing") else ""
        about = f": {_one_line(parameter['description'])}" if parameter.get("description") else ""
        lines.append(f"- {_one_line(parameter['name'])}{typing}{about}")
        lines.extend(f"  {line}" for line in _parameter_lines(parameter.get("parameters", ())))
        lines.extend(_field("returns", parameter.get("output_typing")))
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())
