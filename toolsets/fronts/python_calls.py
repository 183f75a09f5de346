"""Python call expressions: `route = directions(start="Rome", to=city(2))`, parsed with `ast`, never evaluated.

In: text, in pieces; a statement is known when its line ends. Out: a plan. An assigned name is the call's id; other
calls are numbered; `_2` is the name of call 2. A nested call becomes a call of its own. Prose and code fences between
the statements are passed over; loops, conditions and arithmetic are refused, as nothing is computed here.
Neighbours: `python_lines` gathers a statement, `python_values` reads it. Pure.
"""

import ast
import json
import keyword
import re
import unicodedata
import warnings
from collections.abc import Collection, Mapping
from typing import Any, Final

from toolsets.errors import PlanError
from toolsets.fronts.front import Found, Front, syntax_error
from toolsets.fronts.python_lines import Statement
from toolsets.fronts.python_values import StatementReader, Unread
from toolsets.fronts.references import write_text
from toolsets.parse import MAX_CALL
from toolsets.plan import Plan, Ref, Template

_NAME: Final = r"[^\W\d]\w{0,100}"
_CALL: Final = rf"(?:await[ \t]{{1,4}})?{_NAME}(?:\.{_NAME}){{0,6}}[ \t]?\("
_PROMPT: Final = r"[ \t]{0,40}(?:>>>[ \t]{1,4})?"
_START: Final = re.compile(
    rf"(?P<prompt>{_PROMPT})(?:{_NAME}(?:\.{_NAME}|\[[^\]\n]{{0,60}}\]){{0,4}}"
    rf"(?:[ \t]?,[ \t]?{_NAME}){{0,20}}(?:[ \t]?:[^=\n]{{1,80}})?[ \t]{{0,8}}"
    rf"[-+*/%@|&^]{{0,2}}=(?!=)[ \t]{{0,8}}\S|{_CALL})"
)
_LINE: Final = re.compile(rf"^(?P<space>[ \t]{{0,40}}){_START.pattern}", re.MULTILINE)
# Spaces around the equals sign: a parameter on a line of its own is written without.
_ASSIGNS: Final = re.compile(rf"{_PROMPT}(?:{_NAME}[ \t]{{1,8}}=[ \t]|```)")
_MEANT: Final = re.compile(rf"{_PROMPT}(?:[^=\n]{{1,200}}=[ \t]{{0,8}})?{_CALL}")
_COMPOUND: Final = re.compile(
    r"[ \t]{0,40}(?:async|for|while|if|elif|else|try|except|finally|with|def|class)\b.{0,400}:[ \t]*(?:#.*)?$"
)
_COMPOUND_LINE: Final = re.compile(
    rf"[ \t]{{0,40}}(?:async|for|while|if|elif|else|try|except|finally|with|def|class)\b.{{0,400}}:.{{0,400}}{_CALL}"
)
"""With its body on the same line; only a body that calls something is worth a word."""
_FORM: Final = "name = tool(parameter=value)"
_RESERVED: Final = {"true", "false", "null", "join"}
_NUMBERED_NAME: Final = re.compile(r"_[0-9]+")


class PythonParser:
    """Reads calls and assignments, line by line."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self._reader = StatementReader(earlier)
        self._pieces: list[str] = []
        self._line = 0
        self._statement: Statement | None = None
        self._skipped_indent: int | None = None

    @property
    def joins(self) -> bool:
        return self._reader.joins

    @property
    def inside(self) -> bool:
        return self._statement is not None or any(self._pieces)

    @property
    def ended(self) -> bool:
        return self.joins

    def feed(self, text: str) -> Found:
        found: Found = []
        *ended, rest = text.split("\n")
        for piece in ended:
            found += self._take_line("".join([*self._pieces, piece, "\n"]))
            self._pieces = []
        self._pieces.append(rest)
        return found

    def finish(self) -> Found:
        found = self._take_line("".join(self._pieces)) if any(self._pieces) else []
        if self._statement is not None and not self.joins:
            found += self._end(self._statement, mend=False)
        self._pieces, self._statement = [], None
        return found

    def _take_line(self, line: str) -> Found:
        self._line += 1
        found: Found = []
        if self.joins:
            return found
        if self._statement is not None and self._begins_anew(self._statement, line):
            found += self._end(self._statement, mend=True)
        if self._statement is None and not self._begin(line, found):
            return found
        assert self._statement is not None
        self._statement.add(line)
        if self._statement.complete:
            found += self._end(self._statement, mend=True)
        return found

    def _begins_anew(self, statement: Statement, line: str) -> bool:
        """Whether a line ends the open statement, because a bracket was forgotten on the line before."""
        start = _START.match(line)
        if statement.quote or (start is not None and len(start["prompt"]) > statement.indent):
            return False
        return _ASSIGNS.match(line) is not None or (start is not None and not statement.awaits)

    def _begin(self, line: str, found: Found) -> bool:
        """Whether a line begins a statement; the body of a loop or a condition never does."""
        indent = len(line) - len(line.lstrip())
        if self._skipped_indent is not None and line.strip():
            if indent > self._skipped_indent:
                return False
            self._skipped_indent = None
        compound = _COMPOUND.match(line.rstrip("\r\n")) is not None and _parses(f"{line.strip()} pass")
        if compound or (_COMPOUND_LINE.match(line) and _parses(line.strip())):
            self._skipped_indent = indent
            message = "Loops, conditions and definitions are not run here: write plain calls, one a line."
            found.append(syntax_error(message, self._line, expected=_FORM))
            return False
        start = _START.match(line)
        if start is None:
            return False
        self._statement = Statement(self._line, len(start["prompt"]))
        return True

    def _end(self, statement: Statement, *, mend: bool) -> Found:
        """Read a statement that has ended. mend: brackets that are missing at its end were forgotten, not cut off."""
        self._statement = None
        if statement.too_long:
            return [self._broken(statement, f"The call is longer than {MAX_CALL:,} characters: write a shorter one.")]
        if not (mend or statement.complete):
            return [self._broken(statement, "The call does not end: close it with ).")] if _meant(statement) else []
        if statement.unclosed:
            message = "A text has no closing quote on its line: close it, or write the line break as \\n."
            return [self._broken(statement, message)] if _meant(statement) else []
        try:
            module = _tree(statement.closed())
        except SyntaxError as error:
            if not _meant(statement):
                return []
            reason = error.msg.split("(")[0].strip()
            return [self._broken(statement, f"The call is not Python ({reason}): write {_FORM}.")]
        found: Found = []
        for node in module.body:
            if not self.joins:
                found += self._read(node, statement)
        return found

    def _read(self, node: ast.stmt, statement: Statement) -> Found:
        try:
            return list(self._reader.read(node, statement.line + node.lineno - 1, statement.raw.strip()))
        except Unread as error:
            return [self._broken(statement, str(error), node)]
        except RecursionError:
            return [self._broken(statement, "The call is nested too deeply: write a flatter one.", node)]

    def _broken(self, statement: Statement, message: str, node: ast.stmt | None = None) -> Any:
        return syntax_error(message, statement.line, self._reader.give_up(node), _FORM, statement.raw.strip())


def _tree(text: str) -> ast.Module:
    """The syntax tree; raises SyntaxError for whatever ast refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(re.sub(r"^[ \t]*(?:>>>[ \t]+)?", "", text))
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "it is nested too deeply") from None


def _parses(text: str) -> bool:
    """Whether the head of a loop or the like is one, and not prose."""
    # `else:` and its kind cannot stand alone.
    head = {"else": "if 1: pass\n", "elif": "if 1: pass\n", "except": "try: pass\n", "finally": "try: pass\n"}
    first = re.match(r"\w*", text)
    try:
        _tree(head.get(first[0] if first else "", "") + text + ("\nfinally: pass" if text.startswith("try") else ""))
    except SyntaxError:
        return False
    return True


def _meant(statement: Statement) -> bool:
    """Whether lines that are no Python were meant as a call, and are not prose like `Note(s): see below`."""
    text = statement.raw.split("#")[0].rstrip()
    return _MEANT.match(text) is not None and (text.endswith((")", ",", "(", '"', "'")) or not statement.complete)


def render(plan: Plan) -> str:
    """One assignment for each call, and `join()` where the plan asks for the results."""
    known: set[str] = set()
    lines = []
    for call in plan:
        if not all(map(_is_name, call.tool.split("."))) or call.after or not (_is_name(call.id) or _is_number(call.id)):
            raise PlanError(
                f"Call {call.id} of {call.tool} cannot be written in Python: give both plain names, and refer to the "
                "results that it waits for."
            )
        arguments = ", ".join(_argument(key, value, known) for key, value in call.arguments.items())
        lines.append(f"{_variable(call.id)} = {call.tool}({arguments})")
        known.add(call.id)
    return "\n".join([*lines, "join()"] if plan.joins else lines)


def _is_name(text: str) -> bool:
    # Python reads names in their compatibility form: ª would come back as a.
    if unicodedata.normalize("NFKC", text) != text:
        return False
    return (
        text.isidentifier()
        and not keyword.iskeyword(text)
        and text not in _RESERVED | {"_"}
        and not (_NUMBERED_NAME.fullmatch(text))
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and str(int(text)) == text


def _variable(id: str) -> str:
    return f"_{id}" if _is_number(id) else id


def _argument(key: str, value: Any, known: Collection[str]) -> str:
    text = _value(value, known)
    return f"{key}={text}" if _is_name(key) or key in _RESERVED else f"**{{{key!r}: {text}}}"


def _value(value: Any, known: Collection[str]) -> str:
    if isinstance(value, Ref) and (_is_name(value.call) or _is_number(value.call)):
        return _variable(value.call) + "".join(_step(step) for step in value.path)
    if isinstance(value, str | Template | Ref):
        return repr(write_text(value, known))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item, known) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_value(item, known)}" for key, item in value.items()) + "}"
    json.dumps(value, allow_nan=False)
    return repr(value)


def _step(step: str | int) -> str:
    return f".{step}" if isinstance(step, str) and _is_name(step) else f"[{step!r}]"


def starts(text: str) -> list[int]:
    """Where a line could be read as a call or an assignment."""
    return [match.end("space") for match in _LINE.finditer(text)]


FRONT: Final = Front("python", PythonParser, render, starts)
