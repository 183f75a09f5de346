"""Reads JSON in the shape that models leave it in.

In: a text. Out: the value that was plainly meant, or a ValueError that says what is wrong and where; a missing value,
comma or closing quote is never guessed. Neighbours: `parse` comes here only after the strict reader of the standard
library has failed; on valid JSON both agree.

Mended: single quotes, quotes inside a text, names without quotes, Python's True, False and None, trailing commas, raw
line breaks in a text, closing brackets that are missing at the end or too many there.
"""

import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 32

_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[^\W\d]\w*")
_NUMBER: Final = re.compile(r"[+-]?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
_STRING_PART: Final = {quote: re.compile(rf"[^\\{quote}]+") for quote in "\"'"}
_UNICODE: Final = re.compile(r"u([0-9a-fA-F]{4})")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


def read_damaged_json(text: str) -> Any:
    """The value, as `json.loads` would give it.

    >>> read_damaged_json("{'name': 'gcd', 'arguments': {'a': 12, 'b': 18,}")
    {'name': 'gcd', 'arguments': {'a': 12, 'b': 18}}
    """
    reader = Reader(text)
    value = reader.value(MAX_DEPTH)
    reader.end()
    return value


def well_formed(text: str) -> str:
    """The text with half characters (lone surrogates) replaced: they can be neither stored nor tokenized."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Reader:
    """A recursive descent over the text; `_at` is the index of the next character.

    A grammar that embeds such values (`fronts.calls`) builds on it.
    """

    string_end: re.Pattern[str] = re.compile(r"\s*([,:}\]]|$)")
    word: re.Pattern[str] = re.compile(r"[^\s,:{}\[\]\"']+")
    closers: tuple[str, ...] = ("}", "]", "")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise self._error("too deeply nested")
        match self._peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"' | "'" as quote:
                return self._string(quote)
            case _:
                return self._constant()

    def end(self) -> None:
        while self._peek() in ("}", "]"):
            self._at += 1
        if self._peek():
            raise self._error("something after the end")

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        while self._more():
            key = self._key()
            if self._peek() != ":":
                raise self._error("a colon is missing")
            self._at += 1
            members[key] = self.value(depth - 1)
            self._separator()
        self._close("}")
        return members

    def _array(self, depth: int) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while self._more():
            items.append(self.value(depth - 1))
            self._separator()
        self._close("]")
        return items

    def _more(self) -> bool:
        return self._peek() not in self.closers

    def _separator(self) -> None:
        if self._peek() == ",":
            self._at += 1
        elif self._more():
            raise self._error("a comma is missing")

    def _close(self, bracket: str) -> None:
        # A bracket of the other kind closes this level too, and is left for the level that it belongs to.
        if self._peek() == bracket:
            self._at += 1

    def _key(self) -> str:
        quote = self._peek()
        if quote in ('"', "'"):
            return self._string(quote)
        name = _NAME.match(self._text, self._at)
        if name is None:
            raise self._error("a name is missing")
        self._at = name.end()
        return name[0]

    def _string(self, quote: str) -> str:
        parts: list[str] = []
        self._at += 1
        while self._at < len(self._text):
            if part := _STRING_PART[quote].match(self._text, self._at):
                parts.append(part[0])
                self._at = part.end()
            elif self._text[self._at] == "\\":
                parts.append(self._escape())
            else:
                self._at += 1
                # A quote that nothing of JSON follows stands inside the text, like the apostrophe of 'it's'.
                if self.string_end.match(self._text, self._at):
                    return well_formed("".join(parts))
                parts.append(quote)
        raise self._error("a text has no closing quote")

    def _escape(self) -> str:
        self._at += 1
        if code := _UNICODE.match(self._text, self._at):
            self._at = code.end()
            return chr(int(code[1], 16))
        character = self._text[self._at : self._at + 1]
        if character not in _ESCAPES:
            return "\\"
        self._at += 1
        return _ESCAPES[character]

    def _constant(self) -> Any:
        word = self.word.match(self._text, self._at)
        if word is None:
            raise self._error("a value is missing")
        value: Any
        if word[0] in _CONSTANTS:
            value = _CONSTANTS[word[0]]
        elif number := _NUMBER.fullmatch(word[0]):
            value = float(number[0]) if number[1] or number[2] else int(number[0])
        else:
            raise self._error("a value without quotes")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error("a number that is too large")
        self._at = word.end()
        return value

    def _peek(self) -> str:
        """The next character that is not white space; an empty text at the end."""
        if space := _SPACE.match(self._text, self._at):
            self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self._at + 1}")
