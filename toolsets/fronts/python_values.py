"""Reads one Python statement as calls: from the syntax tree to arguments, nothing is ever evaluated.

In: a statement of `ast`. Out: the calls that it makes, inner ones first; or one sentence on what cannot be read.
Neighbours: `python_calls` finds the statements. Pure.
"""

import ast
import math
import re
from collections.abc import Collection
from typing import Any, Final

from toolsets.damaged import well_formed
from toolsets.fronts.front import Ids
from toolsets.fronts.references import renamed
from toolsets.plan import PlannedCall, Ref, Template

_WORDS: Final = {"true": True, "false": False, "null": None}
_NUMBERED: Final = re.compile(r"_(0|[1-9][0-9]{0,5})")
_MAX_SHOWN: Final = 40
MAX_DIGITS: Final = 300
"""Of a whole number, as in the other grammars."""


class Unread(Exception):
    """Why a statement cannot be read, in one sentence; never leaves the front end."""


class StatementReader:
    """Knows the names that earlier statements have given to results and plain values."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.joins = False
        self._ids = Ids(earlier)
        self._names: dict[str, Any] = {}
        self._calls: list[PlannedCall] = []
        self._line = 0
        self._raw = ""

    def read(self, statement: ast.stmt, line: int, raw: str) -> list[PlannedCall]:
        """The calls of one statement; raises Unread, and then none of them counts."""
        self._calls, self._line, self._raw = [], line, raw
        match statement:
            case ast.Expr(value=ast.Call() | ast.Await() as value):
                self._value(value)
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign([target], value)
            case _:
                self._forget_names(statement)
                raise Unread(f"Only calls and assignments are read, not {_shown(statement)}.")
        return self._calls

    def give_up(self, statement: ast.stmt | None) -> str:
        """The id of a call that could not be read, so that the numbers of the next ones stay."""
        self._forget_names(statement)
        return self._ids.take()

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        names = [_target_names(target) for target in targets]
        if isinstance(value, ast.Tuple) and len(names) == 1 and len(names[0]) == len(value.elts) > 1:
            pairs = list(zip(names[0], value.elts, strict=True))
            read = [(name, self._value(item, name)) for name, item in pairs]
            self._names.update(read)
            return
        result = self._value(value, names[0][0] if len(names[0]) == 1 else None)
        for group in names:
            if len(group) == 1:
                self._names[group[0]] = result
                continue
            for index, name in enumerate(group):
                self._names[name] = self._item(result, index, value)

    def _value(self, node: ast.expr, name: str | None = None) -> Any:
        """name: what the statement assigns this value to."""
        match node:
            case ast.Await(value=inner):
                return self._value(inner, name)
            case ast.Call():
                return self._call(node, name)
            case ast.Name(id=id):
                return self._named(id)
            case ast.Attribute(value=base, attr=field):
                return self._item(self._value(base), field, node)
            case ast.Subscript(value=base, slice=index):
                return self._item(self._value(base), self._value(index), node)
            case ast.JoinedStr(values=parts):
                return self._template(parts)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self._value(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {self._key(key): self._value(value) for key, value in zip(keys, values, strict=True)}
            case _:
                return self._plain(node)

    def _plain(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() as text):
                return self._read(well_formed(text))
            case ast.Constant(value=bool() | None as value):
                return value
            case ast.Constant(value=int() | float() as number) if _is_sane(number):
                return number
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if _is_sane(number):
                return -number
            case ast.UnaryOp(op=ast.UAdd(), operand=ast.Constant(value=int() | float() as number)) if _is_sane(number):
                return number
        raise Unread(f"Nothing is computed here: give the value or call a tool for it, instead of {_shown(node)}.")

    def _call(self, node: ast.Call, name: str | None) -> Any:
        tool = self._tool(node.func)
        if tool == "join" and not node.args and not node.keywords:
            self.joins = True
            return None
        arguments: dict[str, Any] = {}
        for index, positional in enumerate(node.args):
            arguments[str(index)] = self._value(positional)
        for keyword in node.keywords:
            given = {keyword.arg: self._value(keyword.value)} if keyword.arg else self._value(keyword.value)
            if not isinstance(given, dict) or given.keys() & arguments.keys():
                raise Unread(f"Each argument of {tool} must be given once and by name: write {tool}(name=value).")
            arguments.update(given)
        id = self._ids.take(self._free(name))
        self._calls.append(PlannedCall(id, tool, arguments, self._line, self._raw))
        return Ref(id)

    def _tool(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=id):
                return id
            case ast.Attribute(value=base, attr=attr) if not (isinstance(base, ast.Name) and base.id in self._names):
                return f"{self._tool(base)}.{attr}"
        raise Unread(f"A tool is called by its name, not as {_shown(node)}.")

    def _named(self, name: str) -> Any:
        if name in self._names:
            return self._names[name]
        if name in _WORDS:
            return _WORDS[name]
        number = _NUMBERED.fullmatch(name)
        return self._read(f"${{{number[1]}}}") if number else Ref(name)

    def _item(self, value: Any, step: Any, node: ast.expr) -> Any:
        if isinstance(value, Ref) and isinstance(step, str | int) and not isinstance(step, bool):
            return Ref(value.call, (*value.path, step))
        raise Unread(f"Only a part of a call's result can be taken, by a name or a number, not {_shown(node)}.")

    def _template(self, parts: list[ast.expr]) -> Any:
        merged: list[str | Ref] = []
        for part in parts:
            plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
            match part:
                case ast.Constant(value=str() as text):
                    merged.append(well_formed(text))
                case ast.FormattedValue(value=inner) if plain:
                    value = self._value(inner)
                    if not isinstance(value, Ref | str | int | float):
                        raise Unread(f"A text can hold results of calls, not {_shown(inner)}.")
                    merged.append(value if isinstance(value, Ref) else str(value))
                case _:
                    raise Unread("A format inside a text is not applied here: write {name} alone.")
        if not any(isinstance(part, Ref) for part in merged):
            return "".join(map(str, merged))
        return Template(tuple(merged))

    def _key(self, node: ast.expr | None) -> str:
        match node:
            case ast.Constant(value=str() as key):
                return well_formed(key)
        raise Unread("The keys of a dict must be texts.")

    def _read(self, text: str) -> Any:
        if "$" not in text:
            return text
        names = {name: value.call for name, value in self._names.items() if isinstance(value, Ref) and not value.path}
        return renamed(self._ids.read({"": text})[""], names)

    def _free(self, name: str | None) -> str | None:
        """An id for a name, which a later statement may have given away again."""
        if name is None:
            return None
        number = _NUMBERED.fullmatch(name)
        wanted = number[1] if number else name
        free, count = wanted, 1
        while free in self._ids.taken:
            count += 1
            free = f"{name}_{count}"
        return free

    def _forget_names(self, statement: ast.stmt | None) -> None:
        """What a statement that cannot be read has assigned is unknown from here on."""
        for node in ast.walk(statement) if statement else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._names.pop(node.id, None)


def _target_names(target: ast.expr) -> list[str]:
    match target:
        case ast.Name(id=id):
            return [id]
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return [name for item in items for name in _target_names(item)]
    raise Unread(f"A result is given a plain name, not {_shown(target)}.")


def _is_sane(number: float) -> bool:
    """Whether JSON can say the number, and anybody read it: a hexadecimal one may have any number of digits."""
    if isinstance(number, bool):
        return False
    return abs(number) < 10**MAX_DIGITS if isinstance(number, int) else math.isfinite(number)


def _shown(node: ast.AST) -> str:
    try:
        text = " ".join(ast.unparse(node).split())
    except (RecursionError, ValueError):  # a sum of hundreds of terms, a number of thousands of digits
        return "so long an expression"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
