"""From a call as it was planned to the arguments that its tool gets, and to the key that identical calls share.

In: a `PlannedCall` and the outcomes of the calls that it refers to. Out: keyword arguments, or a ToolsetError of one
sentence. Neighbours: `resolve` puts results in the place of references, `arguments` checks them against the schema,
`executor` runs the call. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from toolsets.arguments import fit_arguments
from toolsets.plan import PlannedCall, Ref, Template
from toolsets.rendering import told_as
from toolsets.resolve import resolve
from toolsets.results import CallOutcome
from toolsets.tool import Tool


def prepare(call: PlannedCall, tool: Tool, outcomes: Mapping[str, CallOutcome]) -> dict[str, Any]:
    """The arguments with results in the place of references. outcomes: of the calls that it refers to, and no other.
    A call that did not succeed stands as its error, in words. Raises ToolsetError where a path leads nowhere or a value
    does not fit."""
    if not outcomes:
        return fit_arguments(tool, call.arguments)
    errors = {id: outcome.text for id, outcome in outcomes.items() if not outcome.succeeded}
    arguments = _with_errors(call.arguments, errors) if errors else call.arguments
    values = {id: outcome.value for id, outcome in outcomes.items() if id not in errors}
    # Several calls may be given one result, and a tool may change the list that it is given.
    return fit_arguments(tool, {name: _own(value) for name, value in resolve(arguments, values).items()})


def call_key(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """The same for the same tool and arguments; None where an argument cannot be compared by what it says.

    >>> from toolsets import BUILTINS
    >>> gcd = BUILTINS["gcd"]
    >>> call_key(gcd, {"a": 1, "b": 2}) == call_key(gcd, {"b": 2, "a": 1}) != call_key(gcd, {"a": 1, "b": 2.0})
    True
    """
    try:
        text = f"{tool.name}({_told(arguments)})"
    except Exception:  # the value's own class may do anything when it is looked at
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _with_errors(value: Any, errors: Mapping[str, str]) -> Any:
    if isinstance(value, Ref):
        return errors.get(value.call, value)
    if isinstance(value, Template):
        return Template(tuple(_with_errors(part, errors) for part in value.parts))
    if isinstance(value, Mapping):
        return {key: _with_errors(item, errors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_errors(item, errors) for item in value]
    return value


def _own(value: Any) -> Any:
    """A copy of the containers that JSON has; everything else is passed on as it is."""
    if type(value) is list:
        return [_own(item) for item in value]
    if type(value) is dict:
        return {key: _own(item) for key, item in value.items()}
    return value


def _told(value: Any) -> str:
    """A value with its types, so that 1, 1.0, True and "1" are four different arguments."""
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{_told(key)}:{_told(item)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[{','.join(map(_told, value))}]"
    plain = told_as(value)
    if plain is not value:  # a choice, a record, a path: what makes it is all that it says
        return f"{type(value).__name__} {_told(plain)}"
    if value is None or isinstance(value, str | bytes | int | float | date | timedelta | Decimal | Fraction):
        return f"{type(value).__name__} {value!r}"
    raise TypeError
