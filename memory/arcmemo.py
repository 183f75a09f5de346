"""ArcMemo's concepts (arXiv 2509.04439; its public YAML and JSON files) as rows of the library.

In: a YAML file in one of these shapes, in both of the paper's forms. Out: proposed concepts; a concept that is told
for several problems is one concept that was used in all of them.

    - situation: ...                      open-ended: a list of lessons, or lists of them by problem
      suggestion: ...
    - concept: recolor                    program synthesis: a list of concepts,
      kind: routine
    problem_id:                           or by problem, with the problem's summary,
      summary: ...
      concepts: [...]
    problem_id:                           or by problem and title
      recolor: {Kind: routine, Output Typing: grid}
    concepts: {recolor: {kind: routine}}  or a whole memory

A line `name := type` in a list is a type that the concepts speak of; it becomes a concept of kind `type`.
Neighbours: imports plans what is read here, concepts checks it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memory.concepts import checked_concept, merged_programs, unique, unique_problems
from memory.errors import ContentRefused, ImportRefused
from memory.values import Snapshot, checked_content
from memory.yaml_text import YamlRefused, read_yaml

_ABSENT: Final = frozenset({"n/a", "na", "none", "null", ""})
_NO_KIND: Final = "unspecified"
# What a problem's entry says beside its concepts; the summary is the problem as a text that can be compared with.
_PROBLEM_FIELDS: Final = frozenset({"concepts", "summary", "pseudocode", "solution", "problem_id"})


def read_concepts(path: Path) -> list[Snapshot]:
    """The concepts of a file; raises ImportRefused with the place where it is malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"The file {path} cannot be read ({error}): name a YAML file in UTF-8.") from error
    return concepts_in(text, f"the file {path}", path.stem, {"source": path.name, "format": "ArcMemo"})


def concepts_in(text: str, whence: str, stem: str, provenance: Mapping[str, Any]) -> list[Snapshot]:
    """The concepts of a YAML text; `whence` is where it is from, in words, `stem` the problem that it is about."""
    programs: dict[str, dict[str, Any]] = {}
    lessons: dict[tuple[str, str], dict[str, Any]] = {}
    for place, fields in _entries(_loaded(text, whence), stem):
        try:
            if not isinstance(fields, Mapping):
                raise ContentRefused(f"It is no concept but {fields!r}: write a concept as named fields.")
            concept = checked_concept(_with_kind(checked_content(_normal(fields))))
        except ContentRefused as error:
            raise ImportRefused(f"In {whence}, {place}: {error} Nothing was imported.") from error
        if concept["form"] == "open-ended":
            key = (concept["situation"], concept["suggestion"])
            known = lessons.get(key)
            lessons[key] = _with_sources(known, concept) if known is not None else concept
        else:
            earlier = programs.get(concept["title"])
            programs[concept["title"]] = _merged(earlier, concept) if earlier is not None else concept
    found = [*programs.values(), *lessons.values()]
    if not found:
        whence = whence[:1].upper() + whence[1:]
        raise ImportRefused(f"{whence} has no concept in it: see docs/libraries.md for the shapes that are read.")
    return [Snapshot("concept", checked_concept(concept), provenance=provenance) for concept in found]


def _loaded(text: str, whence: str) -> Any:
    try:
        return read_yaml(text)
    except YamlRefused as error:
        where = f", line {error.line}" if error.line is not None else ""
        raise ImportRefused(
            f"{whence[:1].upper()}{whence[1:]}{where} is no YAML that can be read ({error}): nothing was imported."
        ) from error


def _entries(loaded: Any, stem: str) -> Iterator[tuple[str, Any]]:
    """Each concept as it stands in the file, and where: problem and number, or title."""
    if isinstance(loaded, list):
        for number, item in enumerate(loaded, start=1):
            yield f"entry {number}", item if not isinstance(item, str) else _type(item)
    elif isinstance(loaded, Mapping) and {"situation", "suggestion", "kind"} & set(loaded):
        yield "the file", loaded
    elif isinstance(loaded, Mapping):
        if isinstance(loaded.get("concepts"), Mapping) and set(loaded) <= {"concepts", "solutions", "custom_types"}:
            yield from _memory(loaded)
            return
        if "concepts" in loaded:  # one problem has the file for itself, and gave it its name
            yield from _of_problem(stem, loaded)
            return
        for problem, entry in loaded.items():
            yield from _of_problem(str(problem), entry)
    else:
        yield "the file", loaded


def _memory(loaded: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for title, fields in loaded["concepts"].items():
        yield f"concept {title!r}", {"title": title, **fields} if isinstance(fields, Mapping) else fields
    for name, annotation in (loaded.get("custom_types") or {}).items():
        yield f"type {name!r}", _type(f"{name} := {annotation}")


def _of_problem(problem: str, entry: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, list):
        for number, item in enumerate(entry, start=1):
            yield f"problem {problem!r}, entry {number}", _used_in(item, problem, None)
    elif isinstance(entry, Mapping) and "concepts" in entry:
        summary = entry.get("summary")
        concepts = entry["concepts"] or []
        if not isinstance(concepts, list):
            concepts = [concepts]
        for number, item in enumerate(concepts, start=1):
            yield f"problem {problem!r}, concept {number}", _used_in(item, problem, summary)
    elif isinstance(entry, Mapping):
        for title, fields in entry.items():
            if str(title) in _PROBLEM_FIELDS:
                continue
            named = {"title": title, **fields} if isinstance(fields, Mapping) else fields
            yield f"problem {problem!r}, concept {title!r}", _used_in(named, problem, None)
    else:
        yield f"problem {problem!r}", entry


def _used_in(item: Any, problem: str, summary: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    fields = {"used_in": [problem], **item}
    if isinstance(summary, str) and summary.strip():
        fields["problems"] = [{"text": summary, "id": problem}]
    return fields


def _type(text: str) -> Any:
    name, mark, annotation = text.partition(":=")
    if not mark:
        return text
    return {"title": name.strip(), "kind": "type", "output_typing": annotation.strip()}


def _normal(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Field names in one spelling, what is said to be absent left out, the name under `title`."""
    normal = {
        str(name).strip().lower().replace(" ", "_"): value
        for name, value in fields.items()
        if value is not None and not (isinstance(value, str) and value.strip().lower() in _ABSENT)
    }
    for alias in ("concept", "name"):
        if alias in normal:
            normal.setdefault("title", normal.pop(alias))
    if "title" in normal:
        normal["title"] = str(normal["title"])
    for field in ("kind", "routine_subtype", "output_typing", "typing", "description"):
        if field in normal:
            normal[field] = _line(normal[field])
    if "parameters" in normal:
        normal["parameters"] = [_parameter(item) for item in _listed(normal["parameters"])]
    for field in ("cues", "implementation", "used_in"):
        if field in normal:
            normal[field] = [_line(item) for item in _listed(normal[field])]
    return normal


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parameter(item: Any) -> Any:
    """A parameter that is only named, or said in one line (`name | type - what it is`), as fields."""
    if isinstance(item, Mapping):
        fields = _normal({"title": item.get("name"), **{key: value for key, value in item.items() if key != "name"}})
        fields["name"] = str(fields.pop("title", ""))
        return fields
    return {"name": _line(item)}


def _line(item: Any) -> str:
    """A line that YAML read as something else because it has a colon in it."""
    if isinstance(item, Mapping):
        return "; ".join(f"{key}: {_line(value)}" for key, value in item.items())
    if isinstance(item, list):
        return ", ".join(_line(value) for value in item)
    return str(item)


def _with_kind(fields: dict[str, Any]) -> dict[str, Any]:
    """Where a concept is told again, the files often leave its kind out, and some never say it."""
    return fields if "situation" in fields or "suggestion" in fields else {"kind": _NO_KIND, **fields}


def _merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    merged = merged_programs(earlier, later)
    return {**merged, "kind": later["kind"]} if earlier["kind"] == _NO_KIND else merged


def _with_sources(known: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    used_in = unique([*known.get("used_in", ()), *other.get("used_in", ())])
    problems = unique_problems([*known["problems"], *other["problems"]])
    return {**known, "problems": problems} | ({"used_in": used_in} if used_in else {})
