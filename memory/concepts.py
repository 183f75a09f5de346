"""Concepts in ArcMemo's two forms (arXiv 2509.04439, section 3), and the check of each.

In: an object of named fields. Out: the content as it is kept, or one sentence that says what is missing. Fields that
nobody here knows are kept.

    open-ended           situation, suggestion; a title if there is one
    program-synthesis    title, kind, routine_subtype, output_typing, parameters (name, typing, description; one that
                         is itself a routine has parameters of its own), description, cues, implementation, used_in

Both may have `problems`, the problems that they came from. Neighbours: content checks through `checked_concept`,
rendering writes a concept into a prompt, arcmemo reads the forms from YAML.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from memory.errors import ContentRefused
from memory.fields import optional_text, problem_list, required_text, text_list
from memory.values import Content

Form: TypeAlias = Literal["open-ended", "program-synthesis"]
FORMS: Final[tuple[Form, ...]] = ("open-ended", "program-synthesis")
MAX_PARAMETER_DEPTH: Final = 8


def form_of(content: Content) -> Form:
    """Which form a concept has: the one it names, else the one its fields fit."""
    named = content.get("form")
    if named is not None:
        for form in FORMS:
            if named == form:
                return form
        raise ContentRefused(f"A concept's form is {' or '.join(FORMS)}, not {named!r}: name one of them.")
    return "open-ended" if "situation" in content or "suggestion" in content else "program-synthesis"


def checked_concept(content: dict[str, Any]) -> dict[str, Any]:
    """The content as it is kept; raises ContentRefused."""
    form = form_of(content)
    return _checked_open_ended(content) if form == "open-ended" else _checked_program(content)


def merged_programs(older: Content, newer: Content) -> dict[str, Any]:
    """One program-synthesis concept of two with the same title: the older one's words, and what the newer one adds."""
    merged = {**newer, **{field: value for field, value in older.items() if value not in (None, "", [])}}
    for field in ("cues", "implementation", "used_in"):
        merged[field] = unique([*text_list(older, field, "The concept"), *text_list(newer, field, "The concept")])
    merged["problems"] = unique_problems([*older.get("problems", ()), *newer.get("problems", ())])
    parameters = {parameter["name"]: parameter for parameter in newer.get("parameters", ())}
    parameters.update({parameter["name"]: parameter for parameter in older.get("parameters", ())})
    order = unique(parameter["name"] for parameter in [*older.get("parameters", ()), *newer.get("parameters", ())])
    merged["parameters"] = [parameters[name] for name in order]
    return merged


def unique_problems(problems: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each problem text once, the first telling of it kept."""
    by_text: dict[str, dict[str, Any]] = {}
    for problem in problems:
        by_text.setdefault(str(problem["text"]), dict(problem))
    return list(by_text.values())


def unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selection by names came to."""

    found: tuple[str, ...]
    """Titles as the library has them, in the order they were asked for."""
    unknown: tuple[tuple[str, str | None], ...]
    """Names that no concept has, each with the nearest title, if one is near."""


def select_by_name(asked: Sequence[str], titles: Sequence[str]) -> Selection:
    """Look names up as a model wrote them; capitals and spaces do not matter, a misspelt name is reported."""
    by_key = {concept_key(title): title for title in reversed(titles)}
    found: list[str] = []
    unknown: list[tuple[str, str | None]] = []
    for name in asked:
        title = by_key.get(concept_key(name))
        if title is not None:
            found.append(title)
        else:
            near = difflib.get_close_matches(concept_key(name), by_key, n=1)
            unknown.append((name, by_key[near[0]] if near else None))
    return Selection(tuple(unique(found)), tuple(unknown))


def concept_key(name: str) -> str:
    """A name without its capitals and spaces: what two spellings of one name share, in letters or in bytes."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().replace("_", " ").replace("-", " ").split())


def _checked_open_ended(content: dict[str, Any]) -> dict[str, Any]:
    title = optional_text(content, "title", "The concept")
    whose = f"The concept {title!r}" if title else "The concept"
    kept = {
        **content,
        "form": "open-ended",
        "situation": required_text(content, "situation", whose),
        "suggestion": required_text(content, "suggestion", whose),
        "problems": problem_list(content, whose),
    }
    return _without_empty(kept, ("title",))


def _checked_program(content: dict[str, Any]) -> dict[str, Any]:
    title = required_text(content, "title", "The concept")
    whose = f"The concept {title!r}"
    for field in ("routine_subtype", "output_typing", "description"):
        optional_text(content, field, whose)
    kept = {
        **content,
        "form": "program-synthesis",
        "title": title,
        "kind": required_text(content, "kind", whose),
        "parameters": _checked_parameters(content.get("parameters"), whose, MAX_PARAMETER_DEPTH),
        "cues": text_list(content, "cues", whose),
        "implementation": text_list(content, "implementation", whose),
        "used_in": text_list(content, "used_in", whose),
        "problems": problem_list(content, whose),
    }
    return _without_empty(kept, ("routine_subtype", "output_typing", "description"))


def _checked_parameters(value: Any, whose: str, depth: int) -> list[dict[str, Any]]:
    """Parameters are typed; one that is a routine itself has an output typing and parameters of its own."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ContentRefused(
            f"{whose} has 'parameters' that are no list of objects: give each a 'name' and a 'typing'."
        )
    if depth == 0:
        raise ContentRefused(f"{whose} has parameters nested more than {MAX_PARAMETER_DEPTH} deep: flatten them.")
    parameters = []
    names: set[str] = set()
    for item in value:
        name = required_text(item, "name", f"A parameter of {whose[:1].lower()}{whose[1:]}")
        if name in names:
            raise ContentRefused(f"{whose} has two parameters named {name!r}: name them apart.")
        names.add(name)
        for field in ("typing", "description", "output_typing"):
            optional_text(item, field, f"Parameter {name!r} of {whose[:1].lower()}{whose[1:]}")
        parameter = _without_empty(dict(item), ("typing", "description", "output_typing"))
        if "parameters" in item:
            parameter["parameters"] = _checked_parameters(item["parameters"], whose, depth - 1)
        parameters.append(parameter)
    return parameters


def _without_empty(content: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """An absent text is absent, not empty: so equal concepts have equal hashes."""
    return {key: value for key, value in content.items() if key not in fields or (value is not None and value.strip())}
