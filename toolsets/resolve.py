"""Puts results in the places of references.

In: the arguments of a call, and the results of the calls that it refers to. Out: the arguments as plain values. One
single pass: what a result brings along is never read again, so a result that contains "$15" is text. Pure.
Neighbours: the executor calls this when a call's last result has come; `arguments` fits what comes out to the tool.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolsets.errors import ResultPathError
from toolsets.plan import Ref, Template
from toolsets.rendering import render_result, told_as

_MAX_NAMES: Final = 10
_MISSING: Final = object()


def resolve(arguments: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with every reference replaced; results: values by call id.

    Raises ResultPathError where a result has no such part.

    >>> resolve({"a": Ref("1", ("n",)), "t": Template(("n is ", Ref("1", ("n",))))}, {"1": {"n": 6}})
    {'a': 6, 't': 'n is 6'}
    """
    return {name: _resolved(value, results) for name, value in arguments.items()}


def look_up(ref: Ref, results: Mapping[str, Any]) -> Any:
    """The value that a reference stands for; raises ResultPathError."""
    if ref.call not in results:
        raise ResultPathError(f"{ref} cannot be looked up: call {ref.call} has no result here.")
    value = results[ref.call]
    for index, step in enumerate(ref.path):
        value, whole = _part(value, step), value
        if value is _MISSING:
            place = Ref(ref.call, ref.path[:index])
            raise ResultPathError(f"{ref} does not exist: {place} is {_described(whole)}.")
    return value


def _resolved(value: Any, results: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return look_up(value, results)
    if isinstance(value, Template):
        parts = (render_result(look_up(part, results)) if isinstance(part, Ref) else part for part in value.parts)
        return "".join(parts)
    if isinstance(value, Mapping):
        return {key: _resolved(item, results) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, results) for item in value]
    return value


def _part(value: Any, step: str | int) -> Any:
    """A part of a value, or of the record or list that it is told as."""
    found = _own_part(value, step)
    if found is _MISSING and (plain := told_as(value)) is not value:
        return _own_part(plain, step)
    return found


def _own_part(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(step, value.get(str(step), _MISSING))
    if isinstance(step, int):
        if isinstance(value, Sequence) and not isinstance(value, str | bytes) and -len(value) <= step < len(value):
            return value[step]
        return _MISSING
    return getattr(value, step, _MISSING) if step in _fields(value) else _MISSING


def _fields(value: Any) -> Sequence[str]:
    """The declared fields of a record; nothing else of an object can be reached by a reference."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    if isinstance(value, tuple):
        return list(getattr(value, "_fields", ()))
    return list(getattr(type(value), "model_fields", ()))


def _described(value: Any) -> str:
    """What a result is, for the sentence that says that a part of it is missing."""
    value = told_as(value)
    names = [str(key) for key in value] if isinstance(value, Mapping) else list(_fields(value))
    if names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        return f"a record with {', '.join(name[:40] for name in names[:_MAX_NAMES])}{more}"
    if isinstance(value, Mapping):
        return "an empty record"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    kinds = {str: "a text", bool: "a truth value", int: "a number", float: "a number", type(None): "nothing"}
    return f"{kinds.get(type(value), 'a ' + type(value).__name__)} without parts"
