"""Text that a model, a tool or a person wrote, made safe to look at.

In: any string. Out: the same string in which everything that a terminal or a browser would act upon is a visible sign:
escape sequences, carriage returns, changes of writing direction, halves of characters. Markup of a particular view
(HTML, rich, Markdown) is that view's own business. Neighbours: the snapshot, the live view and the export show nothing
that did not pass through here.
"""

import re

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def visible(text: str) -> str:
    """`text` with line ends as newlines and every other control as a sign; tabs stay."""
    if _ACTING.search(text) is None:
        return text
    return _ACTING.sub(_sign, text.replace("\r\n", "\n"))


def one_line(text: str, limit: int | None = None) -> str:
    """`text` as one visible line; longer than `limit`, it ends in an ellipsis."""
    line = _BLANKS.sub(" ", visible(text)).strip()
    return line if limit is None or len(line) <= limit else line[: max(0, limit - 1)] + "…"


def _sign(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the pictures of the controls, e.g. ␛ for escape
    if code == 0x7F:
        return "\u2421"
    return "\n" if code in (0x2028, 0x2029) else "\ufffd"
