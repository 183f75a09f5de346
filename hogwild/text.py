"""From token ids to text, one at a time.

In: a tokenizer, and the tokens of one worker. Out: what each adds to the text. Above: `collaboration.py`,
`workbench.replay`.
"""

from __future__ import annotations

from typing import Any


class TextOf:
    """Token ids to text, one at a time, holding back characters that are not complete."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.shown = ""

    def add(self, token: int) -> str:
        self.ids.append(token)
        text = self._text()
        if text.endswith("\ufffd") and len(self.ids) < 12:
            return ""
        new = text[len(self.shown) :]
        # A short tail is enough context for tokenizers that join spaces; the rest never changes.
        self.ids = self.ids[-2:]
        self.shown = self._text()
        return new

    def _text(self) -> str:
        # Cleaning up takes blanks away again that have been shown, as from " 's", and so letters after them.
        return str(self.tokenizer.decode(self.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
