"""One line of text that a person edits with the keys of a terminal, while a picture is shown.

In: keys, one after the other, as `keys` tells them. Out: the text, where its cursor stands, and whether the person has
sent it or gone back. Pure. Neighbours: `approving` puts a call's arguments into one, `panes` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Went = Literal["on", "sent", "back"]

_LEFT: Final = ("\x1b[D", "\x1bOD", "\x02")
_RIGHT: Final = ("\x1b[C", "\x1bOC", "\x06")
_HOME: Final = ("\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~", "\x01")
_END: Final = ("\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~", "\x05")
_BACKSPACE: Final = ("\x7f", "\x08")
_DELETE: Final = ("\x1b[3~",)


@dataclass(slots=True)
class LineEdit:
    """The cursor stands before the character at `at`.

    >>> line = LineEdit("ac", 1)
    >>> line.press("b"), line.press("\\x1b[F"), line.press("d"), line.press("\\x7f"), line.press("\\r"), line.text
    ('on', 'on', 'on', 'on', 'sent', 'abc')
    """

    text: str
    at: int

    def press(self, key: str) -> Went:
        """Take in one key."""
        if key in ("\r", "\n"):
            return "sent"
        if key == "\x1b":
            return "back"
        if key in _LEFT:
            self.at = max(self.at - 1, 0)
        elif key in _RIGHT:
            self.at = min(self.at + 1, len(self.text))
        elif key in _HOME:
            self.at = 0
        elif key in _END:
            self.at = len(self.text)
        elif key in _BACKSPACE and self.at:
            self.text, self.at = self.text[: self.at - 1] + self.text[self.at :], self.at - 1
        elif key in _DELETE:
            self.text = self.text[: self.at] + self.text[self.at + 1 :]
        elif key == "\x15":  # Ctrl-U, as in a shell
            self.text, self.at = self.text[self.at :], 0
        elif key == "\x0b":  # Ctrl-K
            self.text = self.text[: self.at]
        elif len(key) == 1 and key.isprintable():
            self.text, self.at = self.text[: self.at] + key + self.text[self.at :], self.at + 1
        return "on"

    def window(self, width: int) -> tuple[str, str, str]:
        """The text before the cursor, the character under it, and the text after it: as much as has room."""
        width = max(width, 8)
        start = max(0, min(self.at - width // 2, len(self.text) + 1 - width))
        shown = self.text[start : start + width] + " "
        at = self.at - start
        return shown[:at], shown[at], shown[at + 1 : width]
