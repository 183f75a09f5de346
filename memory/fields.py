"""Checks of single fields, shared by tools and concepts.

In: an object of named fields. Out: the field's value in its right form, or one sentence that says what it must be.
Neighbours: content and concepts.
"""

from collections.abc import Mapping
from typing import Any

from memory.errors import ContentRefused


def required_text(content: Mapping[str, Any], field: str, whose: str) -> str:
    text = optional_text(content, field, whose)
    if not text:
        raise ContentRefused(f"{whose} has no {field!r}: give it as a text.")
    return text


def optional_text(content: Mapping[str, Any], field: str, whose: str) -> str | None:
    """None where the field is missing, null or blank."""
    value = content.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ContentRefused(f"{whose} has a {field!r} that is no text but {_kind(value)}: write it as a text.")
    return value if value.strip() else None


def text_list(content: Mapping[str, Any], field: str, whose: str) -> list[str]:
    """A list of texts; a single text counts as a list of one."""
    value = content.get(field)
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ContentRefused(f"{whose} has {field!r} that is no list of texts: write one text for each line.")
    return [item for item in value if item.strip()]


def problem_list(content: Mapping[str, Any], whose: str) -> list[dict[str, Any]]:
    """The problems that a row came from, each an object with a `text`; a plain text counts as one."""
    value = content.get("problems")
    if value is None:
        return []
    if not isinstance(value, list):
        raise ContentRefused(f"{whose} has 'problems' that are no list: write a list of objects with a 'text'.")
    problems = [{"text": item} if isinstance(item, str) else item for item in value]
    for number, problem in enumerate(problems, start=1):
        if not isinstance(problem, dict):
            raise ContentRefused(f"{whose} has a problem {number} that is no object: write it as one with a 'text'.")
        required_text(problem, "text", f"Problem {number} of {whose[:1].lower()}{whose[1:]}")
    return problems


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return {dict: "an object", list: "a list", int: "a number", float: "a number"}.get(type(value), "something else")
