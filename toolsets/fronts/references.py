"""References inside arguments: from the text that a model writes to `Ref` and `Template`, and back.

In: JSON values, and the ids of the calls before. Out: the same values with references typed. Neighbours: every front
end reads and writes through here, so that a reference means the same in each grammar. Pure.

A text that is a reference from end to end is that reference: "$1", "${1}", "$1.rows[0].name", "$1[\\"first name\\"]".
Inside a longer text, "${1}" is one, and "$1" is one where a call 1 came before: "It costs $15" stays text. A name is
one only where such a call came before, so "$HOME" stays text. "$$1" is the text "$1".
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from toolsets.plan import Ref, Step, Template

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,5})"
_NAME: Final = r"[^\W\d]\w*"
_PATH: Final = r"""(?:\.[^\W\d]\w*|\[-?[0-9]{1,9}\]|\["(?:[^"\\]|\\.){0,200}"\]|\['[^'\\]{0,200}'\])*"""
_REFERENCE: Final = re.compile(
    rf"(?<!\$)(?P<dollars>\$+)(?:\{{(?P<braced>{_NUMBER}|{_NAME}(?:[:-]\w+)*)(?P<inner>{_PATH})\}}"
    # $1.50, $1,000 and $5k are sums of money.
    rf"|(?:(?P<number>{_NUMBER})(?!\w)(?![.,]\d)|(?P<name>{_NAME}))(?P<path>{_PATH}))"
)
_STEP: Final = re.compile(
    r"""\.(?P<field>[^\W\d]\w*)|\[(?P<index>-?[0-9]{1,9})\]|\[(?P<double>"(?:[^"\\]|\\.){0,200}")\]|\['(?P<single>[^'\\]{0,200})'\]"""
)
_PLAIN_NAME: Final = re.compile(_NAME)
_PLAIN_NUMBER: Final = re.compile(_NUMBER)


def read_references(value: Any, known: Collection[str]) -> Any:
    """A JSON value with its references typed. known: ids of the calls before.

    >>> read_references({"a": "$1.sum", "note": "It is ${1}, not $15."}, {"1"})["a"]
    Ref(call='1', path=('sum',))
    """
    if isinstance(value, str):
        return read_text(value, known)
    if isinstance(value, list | tuple):
        return [read_references(item, known) for item in value]
    if isinstance(value, Mapping):
        return {key: read_references(item, known) for key, item in value.items()}
    return value


def read_text(text: str, known: Collection[str]) -> str | Ref | Template:
    """One text; see the top of this file.

    >>> read_text("$$1", ()), read_text("It costs $15", ()), read_text("$2[0]", ())
    ('$1', 'It costs $15', Ref(call='2', path=(0,)))
    """
    if "$" not in text:
        return text
    whole = _REFERENCE.fullmatch(text)
    if whole and whole["dollars"] == "$" and (_is_number(whole) or _id(whole) in known):
        return _reference(whole)
    parts: list[str | Ref] = []
    start = 0
    for match in _REFERENCE.finditer(text):
        if not _is_number(match) and _id(match) not in known:
            continue
        parts.append(text[start : match.start()])
        start = match.end()
        halves, odd = divmod(len(match["dollars"]), 2)
        body = match[0][len(match["dollars"]) :]
        if not odd:
            parts.append("$" * halves + body)
        elif _id(match) in known or match["braced"]:
            parts += ["$" * halves, _reference(match)]
        else:
            parts.append("$" * (halves + 1) + body)
    return _joined([*parts, text[start:]])


def write_references(value: Any, known: Collection[str]) -> Any:
    """The JSON value that reads back as this one: references as texts, and texts that look like one escaped."""
    if isinstance(value, str | Ref | Template):
        return write_text(value, known)
    if isinstance(value, list | tuple):
        return [write_references(item, known) for item in value]
    if isinstance(value, Mapping):
        return {key: write_references(item, known) for key, item in value.items()}
    return value


def write_text(value: str | Ref | Template, known: Collection[str]) -> str:
    """One text, reference or template as the text that reads back as it.

    >>> write_text(Template(("Up to $", Ref("1"), "%")), {"1"}), write_text("$1", ())
    ('Up to $$${1}%', '$$1')
    """
    if isinstance(value, str):
        return _escaped(value, known)
    if isinstance(value, Ref):
        return reference_text(value)
    texts: list[str] = []
    for index, part in enumerate(value.parts):
        if isinstance(part, str):
            texts.append(_escaped(part, known))
            continue
        if texts:
            bare = texts[-1].rstrip("$")
            # The dollars of the text before would be read as one run with the reference's own.
            texts[-1] = bare + (texts[-1][len(bare) :] * 2)
        after = value.parts[index + 1] if index + 1 < len(value.parts) else ""
        plain = part.call in known and isinstance(after, str) and (not after or after[0] in " \n;:)!?")
        texts.append(reference_text(part, braced=not plain))
    return "".join(texts)


def reference_text(ref: Ref, *, braced: bool = False) -> str:
    """`$1.rows[0]["first name"]`, in braces where asked for or needed."""
    steps = path_text(ref.path)
    simple = _PLAIN_NAME.fullmatch(ref.call) or _PLAIN_NUMBER.fullmatch(ref.call)
    return f"${ref.call}{steps}" if simple and not braced else f"${{{ref.call}{steps}}}"


def path_text(path: tuple[Step, ...]) -> str:
    """The steps of a path as they are written after a call's id."""
    return "".join(_step_text(step) for step in path)


def read_path(text: str) -> tuple[Step, ...]:
    """The steps of a path that was found by this file's grammar."""
    return tuple(_step(match) for match in _STEP.finditer(text))


def bare_reference(text: str, at: int) -> tuple[Ref, int] | None:
    """The reference that stands outside quotes at this place of a text, with the place after it."""
    match = _REFERENCE.match(text, at)
    if match is None or match["dollars"] != "$":
        return None
    ref, end = _reference(match), match.end()
    if match["braced"]:
        # Outside quotes nothing but a path can follow: ${1}.field
        more = re.compile(_PATH).match(text, end)
        assert more is not None
        return Ref(ref.call, ref.path + read_path(more[0])), more.end()
    return ref, end


def references_in_texts(value: Any) -> list[str]:
    """Ids that texts which were left as text would refer to, if calls of these ids existed."""
    if isinstance(value, str):
        found = _REFERENCE.finditer(value) if "$" in value else ()
        return [_id(match) for match in found if match["dollars"] == "$"]
    if isinstance(value, Template):
        return [id for part in value.parts if isinstance(part, str) for id in references_in_texts(part)]
    if isinstance(value, list | tuple):
        return [id for item in value for id in references_in_texts(item)]
    if isinstance(value, Mapping):
        return [id for item in value.values() for id in references_in_texts(item)]
    return []


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The value with the calls of its references renamed."""
    if isinstance(value, Ref):
        return Ref(names.get(value.call, value.call), value.path)
    if isinstance(value, Template):
        return Template(tuple(renamed(part, names) if isinstance(part, Ref) else part for part in value.parts))
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {key: renamed(item, names) for key, item in value.items()}
    return value


def _id(match: re.Match[str]) -> str:
    return match["braced"] or match["number"] or match["name"]


def _is_number(match: re.Match[str]) -> bool:
    return _PLAIN_NUMBER.fullmatch(_id(match)) is not None


def _reference(match: re.Match[str]) -> Ref:
    return Ref(_id(match), read_path(match["inner"] or match["path"] or ""))


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return int(match["index"])
    if match["double"] is not None:
        try:
            return str(json.loads(match["double"], strict=False))
        except ValueError:
            return match["double"][1:-1]
    return match["field"] if match["field"] is not None else match["single"]


def _step_text(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_NAME.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"


def _escaped(text: str, known: Collection[str]) -> str:
    if "$" not in text:
        return text

    def doubled(match: re.Match[str]) -> str:
        return match["dollars"] + match[0] if _is_number(match) or _id(match) in known else match[0]

    return _REFERENCE.sub(doubled, text)


def _joined(parts: list[str | Ref]) -> str | Template:
    """Neighbouring texts made one, empty ones dropped."""
    merged: list[str | Ref] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part:
            merged.append(part)
    if any(isinstance(part, Ref) for part in merged):
        return Template(tuple(merged))
    return "".join(part for part in merged if isinstance(part, str))
