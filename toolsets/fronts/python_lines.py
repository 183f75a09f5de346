"""Gathers the lines of one Python statement: which brackets and quotes are open, so that its end is known.

In: lines. Out: the statement's text, with `$1` outside quotes written as the name `_1`. Neighbours: `python_calls`
decides which lines begin a statement. Pure.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from toolsets.parse import MAX_CALL

_TOKEN: Final = re.compile(r"""#.*|\"\"\"|'''|["'()\[\]{}\\$]|[^\s"'()\[\]{}\\$#]+|\s+""")
_IN_QUOTE: Final = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ('"', "'", '"""', "'''")}
_REFERENCE: Final = re.compile(r"\$(?:\{([0-9]{1,6})\}|([0-9]{1,6}))")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


@dataclass(slots=True)
class Statement:
    """line: where it begins. unclosed: a text has no closing quote on its line."""

    line: int
    indent: int
    text: str = ""
    raw: str = ""
    unclosed: bool = False
    too_long: bool = False
    before: str = ""
    """The last character outside quotes that is not white space."""
    quote: str = ""
    _open: list[str] = field(default_factory=list)
    _continued: bool = False

    @property
    def complete(self) -> bool:
        return self.unclosed or not (self._open or self.quote or self._continued)

    @property
    def awaits(self) -> bool:
        """Whether something has to follow before the next line can be a statement of its own."""
        return bool(self.quote) or self._continued or self.before in ("(", "[", "{", ",", "=", "+", ":")

    def closed(self) -> str:
        """The text with the brackets that are missing at its end."""
        return self.text.rstrip() + "".join(_CLOSING[bracket] for bracket in reversed(self._open))

    def add(self, line: str) -> None:
        """Take one more line, with its line break."""
        if len(self.raw) + len(line) > MAX_CALL:
            # Its quotes are followed all the same: what stands in a text inside it must not be taken for a call.
            self.too_long, self.raw, self.text = True, self.raw[:100], ""
        else:
            self.raw += line
        self._continued = False
        parts: list[str] = []
        at = 0
        while at < len(line):
            at = self._in_quote(line, at, parts) if self.quote else self._outside(line, at, parts)
        if not self.too_long:
            self.text += "".join(parts)

    def _in_quote(self, line: str, at: int, parts: list[str]) -> int:
        match = _IN_QUOTE[self.quote].search(line, at)
        end = match.end() if match else len(line)
        parts.append(line[at:end])
        if match is None and len(self.quote) == 1:
            self.unclosed, self.quote = True, ""
        elif match and match[0] == self.quote:
            self.quote, self.before = "", '"'
        return end

    def _outside(self, line: str, at: int, parts: list[str]) -> int:
        match = _TOKEN.match(line, at)
        assert match is not None
        token = match[0]
        if token == "$" and (reference := _REFERENCE.match(line, at)):
            parts.append(f"_{reference[1] or reference[2]}")
            self.before = "w"
            return reference.end()
        parts.append(token)
        if token.startswith("#") or token.isspace():
            return match.end()
        if token[0] in "\"'":
            self.quote = token
        elif token == "\\":
            self._continued = not line[match.end() :].strip()
        elif token in _CLOSING:
            self._open.append(token)
        elif self._open and token == _CLOSING[self._open[-1]]:
            self._open.pop()
        self.before = token[-1]
        return match.end()
