"""Reads what stands between the brackets of a written call: `("Rome", unit='C', days=[1, $2])`.

In: the text from the opening bracket on, in pieces. Out: where it ends; and its arguments by name, bare references
typed. A positional argument is named by its place, "0", "1", ..., until `check` knows the tool. Neighbours:
`llmcompiler` finds the calls; the reader of `toolsets.damaged` reads the values, and mends what models do to quotes,
commas and brackets. Pure.
"""

import json
import re
from typing import Any, Final

from toolsets.damaged import MAX_DEPTH, Reader, well_formed
from toolsets.fronts.references import bare_reference

_KEYWORD: Final = re.compile(r'\s*(?:(?P<name>[^\W\d]\w*)|(?P<quoted>"(?:[^"\\]|\\.){0,200}"))\s*=(?!=)')
_TOKEN: Final = re.compile(r"""\n|[()\[\]{}"']|[^\S\n]+|[^\s()\[\]{}"']+""")
_IN_TEXT: Final = {quote: re.compile(rf"[\\{quote}\n]") for quote in "\"'"}
_AFTER_TEXT: Final = re.compile(r"\s{0,200}(?:(?P<ends>[,:}\])])|(?P<named>=)|(?P<open>\Z)|)")
_OPENING: Final = {")": "(", "]": "[", "}": "{"}
_TRIPLE: Final = re.compile(r"(\"\"\"|''')(.*?)\1", re.DOTALL)


def read_arguments(text: str) -> dict[str, Any]:
    """The arguments of `(...)`; strings are still as written. Raises ValueError that says what is wrong and where.

    >>> read_arguments('(12, unit="km", to=$1.name)')
    {'0': 12, 'unit': 'km', 'to': Ref(call='1', path=('name',))}
    """
    reader = _ArgumentReader(text)
    arguments = reader.arguments()
    reader.end()
    return arguments


class CallEnd:
    """Follows the brackets and quotes of one call until it closes; the text may arrive in pieces."""

    def __init__(self) -> None:
        self.quote = ""
        """The quote of the text that is open: one character, or three of them."""
        self._open: list[str] = []
        self._before = ""
        self._may_name = False
        """Whether the open text stands where a quoted name may: "first name"=..."""

    def scan(self, text: str, at: int, last: bool) -> tuple[int, str]:
        """Go on from `at`; returns the place reached and why: "closed", "line" at a line break, "more" is needed."""
        while at < len(text):
            if self.quote:
                at, why = self._in_text(text, at, last)
            else:
                at, why = self._outside(text, at, last)
            if why:
                return at, why
        return at, "more"

    def _outside(self, text: str, at: int, last: bool) -> tuple[int, str]:
        match = _TOKEN.match(text, at)
        assert match is not None
        token = match[0]
        if token == "\n":
            return at, "line"
        if token == '"' or (token == "'" and self._before in ("(", "[", "{", ",", ":", "=")):
            opening = text[at : at + 3]
            if opening == token * 3:
                self.quote = opening
            elif len(opening) < 3 and not last and not opening.strip(token):
                return at, "more"
            else:
                self.quote = token
            self._may_name = len(self._open) == 1 and self._before in ("(", ",")
            return at + len(self.quote), ""
        if token in "([{":
            self._open.append(token)
        elif token in ")]}" and _OPENING[token] in self._open:
            while self._open.pop() != _OPENING[token]:
                pass
        if not token.isspace():
            self._before = token[-1]
        return match.end(), "" if self._open else "closed"

    def _in_text(self, text: str, at: int, last: bool) -> tuple[int, str]:
        if len(self.quote) == 3:
            end = text.find(self.quote, at)
            self.quote, at = ("", end + 3) if end >= 0 else (self.quote, max(at, len(text) - 2))
            return at, "" if end >= 0 else "more"
        match = _IN_TEXT[self.quote].search(text, at)
        if match is None:
            return len(text), "more"
        at = match.start()
        if match[0] == "\n":
            return at, "line"
        if match[0] == "\\":
            return (at, "more") if at + 1 >= len(text) and not last else (min(at + 2, len(text)), "")
        after = _AFTER_TEXT.match(text, at + 1)
        assert after is not None
        if after["open"] is not None and not last:
            return at, "more"
        if after["ends"] or after["open"] is not None or (after["named"] and self._may_name):
            self.quote, self._before = "", "s"
        return at + 1, ""


class _ArgumentReader(Reader):
    string_end = re.compile(r"\s*([,:}\])]|$)")
    word = re.compile(r"[^\s,:=(){}\[\]\"']+")
    closers = ("}", "]", ")", "")

    def arguments(self) -> dict[str, Any]:
        self._at += 1
        arguments: dict[str, Any] = {}
        while self._peek() not in (")", ""):
            keyword = _KEYWORD.match(self._text, self._at)
            name = _name(keyword) if keyword else str(len(arguments))
            self._at = keyword.end() if keyword else self._at
            if name in arguments:
                raise self._error(f"{name} is given twice")
            arguments[name] = self.value(MAX_DEPTH)
            if self._peek() == ",":
                self._at += 1
            elif self._peek() not in (")", ""):
                raise self._error("a comma is missing")
        self._close(")")
        return arguments

    def value(self, depth: int) -> Any:
        first = self._peek()
        if first == "$":
            return self._bare_reference()
        if first == "(" and depth:
            return self._tuple(depth)
        if triple := _TRIPLE.match(self._text, self._at):
            self._at = triple.end()
            return well_formed(triple[2])
        return super().value(depth)

    def end(self) -> None:
        while self._peek() in ("}", "]", ")"):
            self._at += 1
        super().end()

    def _bare_reference(self) -> Any:
        found = bare_reference(self._text, self._at)
        if found is None:
            raise self._error("a reference that is neither $1 nor ${1}")
        ref, self._at = found
        return ref

    def _tuple(self, depth: int) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while self._peek() not in (")", ""):
            items.append(self.value(depth - 1))
            if self._peek() == ",":
                self._at += 1
            elif self._peek() not in (")", ""):
                raise self._error("a comma is missing")
        self._close(")")
        return items


def _name(keyword: re.Match[str]) -> str:
    if keyword["quoted"] is None:
        return keyword["name"]
    try:
        return str(json.loads(keyword["quoted"], strict=False))
    except ValueError:
        return keyword["quoted"][1:-1]
