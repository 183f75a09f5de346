"""Finds JSON objects in a text that arrives in pieces: the element of a list is known when its brace closes.

In: text with JSON in it, as models leave it. Out: `FoundObject` values, not yet read. Neighbours: `json_calls` says at
which places an object may be a call, and reads it. Pure.

Between JSON, brackets count only where they plainly begin JSON, and quotes never do. Mended: a quote inside a text, a
closing bracket that was forgotten where the next object begins.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from toolsets.parse import MAX_CALL

Place: TypeAlias = tuple[tuple[str, str | None], ...]
"""The open brackets around and with an object, each with the key that it stands under."""

MAX_OPEN: Final = 100
_LOOK: Final = 200
"""Characters of white space that may stand where one character decides."""

_BEGIN: Final = re.compile(r"[{\[]")
_BEGINS: Final = re.compile(rf"""\{{\s{{0,{_LOOK}}}(?:["'}}]|[^\W\d]\w{{0,40}}\s?:)|\[\s{{0,{_LOOK}}}[\[{{\]]""")
_UNDECIDED: Final = re.compile(rf"[{{\[]\s{{0,{_LOOK}}}(?:[^\W\d]\w{{0,40}}\s?)?\Z")
_TOKEN: Final = re.compile(r"""\s+|[{}\[\]:,"']|[^\s{}\[\]:,"']+""")
_QUOTE_OR_ESCAPE: Final = {quote: re.compile(rf"[\\{quote}]") for quote in "\"'"}
_AFTER_STRING: Final = re.compile(rf"\s{{0,{_LOOK}}}(?:(?P<ends>[,:}}\]])|(?P<open>\Z)|)")


@dataclass(frozen=True, slots=True)
class FoundObject:
    """offset: where it begins in the whole text. whole: its closing brace is there. group: which list of the text it
    stands in, counted from 1; 0 outside."""

    text: str
    offset: int
    line: int
    group: int
    whole: bool = True
    too_long: bool = False


@dataclass(slots=True)
class _Open:
    bracket: str
    key: str | None
    start: int
    line: int
    candidate: bool
    holds_candidates: bool = False


class ObjectScanner:
    """`wanted` says of a place whether an object there may be a call."""

    def __init__(self, wanted: Callable[[Place], bool]) -> None:
        self._wanted = wanted
        self._text = ""
        self._at = 0
        self._dropped = 0
        """Characters of the text before the ones that are kept."""
        self._line = 1
        self._groups = 0
        self._stack: list[_Open] = []
        self._quote: tuple[str, int] | None = None
        self._key: str | None = None
        self._word = ""
        self._before = ""
        """The last character that is not white space, `w` for a word, `s` for a text in quotes."""

    @property
    def inside(self) -> bool:
        """Whether a bracket is open, or may just be opening."""
        return bool(self._stack) or self._at < len(self._text)

    def feed(self, text: str) -> list[FoundObject]:
        """The objects that this piece completes, in the order of their ends."""
        self._text += text
        found = self._scan(last=False)
        self._forget()
        return found

    def finish(self) -> list[FoundObject]:
        """What the end of the text decides: the last quote, and the object that was left open."""
        found = self._scan(last=True)
        left = [frame for frame in self._stack if frame.candidate]
        if left and not left[-1].holds_candidates:
            found.append(self._found(left[-1], len(self._text), self._group(), whole=False))
        self._stack, self._text, self._at, self._quote = [], "", 0, None
        return found

    def _scan(self, last: bool) -> list[FoundObject]:
        found: list[FoundObject] = []
        while self._at < len(self._text):
            if self._quote:
                moved = self._string(last)
            elif self._stack:
                moved = self._token(last, found)
            else:
                moved = self._prose(last)
            self._break_off(found)
            if not moved:
                break
        return found

    def _prose(self, last: bool) -> bool:
        match = _BEGIN.search(self._text, self._at)
        if match is None:
            self._move(len(self._text))
            return True
        self._move(match.start())
        if _BEGINS.match(self._text, self._at):
            self._open(self._text[self._at])
        elif last or not _UNDECIDED.match(self._text, self._at):
            self._move(self._at + 1)
        else:
            return False
        return True

    def _token(self, last: bool, found: list[FoundObject]) -> bool:
        match = _TOKEN.match(self._text, self._at)
        assert match is not None
        token = match[0]
        if token in "{[":
            self._mend(found)
            if self._stack:
                self._open(token)
            return True
        if token in "\"'" and (token == '"' or self._before in ("{", "[", ",", ":")):
            self._quote = (token, self._at)
            self._move(self._at + 1)
            return True
        self._move(match.end())
        if token in "}]":
            self._close(token, found)
        elif token == ":":
            self._key, self._before, self._word = self._word, ":", ""
        elif token == ",":
            self._key, self._before, self._word = None, ",", ""
        elif not token.isspace():
            # A word may arrive in pieces.
            self._word = (self._word if self._before == "w" else "") + token if len(self._word) < _LOOK else ""
            self._before = "w"
        return True

    def _string(self, last: bool) -> bool:
        assert self._quote is not None
        quote, start = self._quote
        match = _QUOTE_OR_ESCAPE[quote].search(self._text, self._at)
        if match is None:
            self._move(len(self._text))
            return True
        self._move(match.start())
        if match[0] == "\\":
            if self._at + 1 >= len(self._text) and not last:
                return False
            self._move(min(self._at + 2, len(self._text)))
            return True
        after = _AFTER_STRING.match(self._text, self._at + 1)
        assert after is not None
        if after["open"] is not None and not last:
            return False
        self._move(self._at + 1)
        # A quote that nothing of JSON follows stands inside the text.
        if after["ends"] or after["open"] is not None:
            self._word = self._text[start + 1 : self._at - 1] if self._at - start < _LOOK else ""
            self._quote, self._before = None, "s"
        return True

    def _open(self, bracket: str) -> None:
        if not self._stack:
            self._key, self._groups = None, self._groups + (bracket == "[")
        place = (*((frame.bracket, frame.key) for frame in self._stack), (bracket, self._key))
        candidate = bracket == "{" and len(self._stack) < MAX_OPEN and self._wanted(place)
        for frame in self._stack if candidate else ():
            frame.holds_candidates = True
        self._stack.append(_Open(bracket, self._key, self._at, self._line, candidate))
        self._key, self._before, self._word = None, bracket, ""
        self._move(self._at + 1)
        if len(self._stack) > MAX_OPEN:
            self._stack.clear()

    def _mend(self, found: list[FoundObject]) -> None:
        """A bracket opens. In an object that is only possible after a colon: without one, the object has ended."""
        while self._stack and self._stack[-1].bracket == "{" and self._before != ":":
            self._pop(found)
            self._before = "}"

    def _close(self, bracket: str, found: list[FoundObject]) -> None:
        opening = "{" if bracket == "}" else "["
        if all(frame.bracket != opening for frame in self._stack):
            return
        while self._stack[-1].bracket != opening:
            self._pop(found, before=1)
        self._pop(found)
        self._key, self._before, self._word = None, bracket, ""

    def _pop(self, found: list[FoundObject], before: int = 0) -> None:
        frame = self._stack.pop()
        if frame.candidate:
            group = self._group() if self._stack else 0
            found.append(self._found(frame, self._at - before, group))

    def _break_off(self, found: list[FoundObject]) -> None:
        """Give up a call that is longer than one may be, so that a lost quote or bracket costs bounded memory.

        Its brackets are followed all the same: what stands in a text inside it must not be taken for a call.
        """
        open_calls = [frame for frame in self._stack if frame.candidate]
        if not open_calls or self._at - open_calls[-1].start <= MAX_CALL:
            return
        inner = open_calls[-1]
        inner.candidate = False
        if not inner.holds_candidates:
            found.append(self._found(inner, inner.start + 100, self._group(), whole=False, too_long=True))

    def _found(self, frame: _Open, end: int, group: int, *, whole: bool = True, too_long: bool = False) -> FoundObject:
        text = self._text[frame.start : end].rstrip()
        text = text.rstrip(",") if whole else text
        return FoundObject(text, self._dropped + frame.start, frame.line, group, whole, too_long)

    def _group(self) -> int:
        return self._groups if self._stack and self._stack[0].bracket == "[" else 0

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _forget(self) -> None:
        """Drop the text that nobody needs any more."""
        starts = [frame.start for frame in self._stack if frame.candidate][:1]
        if self._quote and self._at - self._quote[1] < _LOOK:
            starts.append(self._quote[1])
        kept = min([self._at, *starts])
        self._text, self._at = self._text[kept:], self._at - kept
        self._dropped += kept
        self._quote = (self._quote[0], self._quote[1] - kept) if self._quote else None
        for frame in self._stack:
            frame.start -= kept
