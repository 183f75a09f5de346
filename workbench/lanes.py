"""One worker's stream as a person reads it: text, calls and injected text, in their order.

In: decoded pieces of text as they are sampled, and the facts about calls. Out: `Lane`s made of `Span`s, in which the
raw text of a call is hidden behind the call itself. Work per piece is proportional to the piece, however long the
stream has become. Neighbours: `projection` feeds it from events; the views read `Lane.spans`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
_RESPONSE = re.compile(r"</?tool_response>")
_NAME_SO_FAR = re.compile(r"""["']name["']\s*:\s*["']([\w.-]+)["']""")

SpanKind = Literal["text", "call", "injected"]


@dataclass(slots=True)
class Span:
    """A stretch of one kind. A call's span holds its raw text, which views do not show once the call is known.

    index: its place in the lane. call: the id, empty while the call is being written or if it could not be read.
    source: who injected the text. closed: the raw text of the call is complete. reply: what the caller was told, for
    a call that could not be read. unread: the worker went on, or was told, without the call having been planned.
    cut_short: the text of the call ended before the call did, as its worker was stopped or given something.
    chars: the length of the text.
    """

    kind: SpanKind
    index: int
    parts: list[str] = field(default_factory=list)
    call: str = ""
    source: str = ""
    closed: bool = False
    reply: str = ""
    unread: bool = False
    cut_short: bool = False
    chars: int = 0

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.chars += len(text)

    @property
    def text(self) -> str:
        if len(self.parts) > 1:
            self.parts[:] = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""

    @property
    def written_tool(self) -> str:
        """The name of the tool in a call that is still being written, if it stands there already."""
        found = _NAME_SO_FAR.search(self.text)
        return found.group(1) if found else ""

    def tail(self, chars: int) -> str:
        """At least the last `chars` characters, or all there are, without joining the whole."""
        taken: list[str] = []
        for part in reversed(self.parts):
            if chars <= 0:
                break
            taken.append(part)
            chars -= len(part)
        return "".join(reversed(taken))

    def cut(self, chars: int) -> None:
        """Take away the last `chars` characters, of which there must be as many."""
        self.chars -= chars
        while chars > 0 and self.parts:
            last = self.parts.pop()
            if len(last) > chars:
                self.parts.append(last[:-chars])
            chars -= len(last)


@dataclass(slots=True)
class Lane:
    """One worker: its stream, its state, its figures. Attention is summed over steps, block by block."""

    worker: str
    state: str = "decoding"
    reason: str = ""
    budget: int | None = None
    tokens: int = 0
    spans: list[Span] = field(default_factory=list)
    attention_sums: dict[int, float] = field(default_factory=dict)
    attention_steps: int = 0
    _drafts: list[Span] = field(default_factory=list)
    _writing: Span | None = None
    _held: str = ""
    _line: list[str] = field(default_factory=list)

    def add_text(self, piece: str) -> list[str]:
        """The worker sampled `piece`; returns the lines of text that it completes."""
        lines: list[str] = []
        rest = self._held + piece
        self._held = ""
        while rest:
            tag = CLOSE_TAG if self._writing else OPEN_TAG
            before, found, after = rest.partition(tag)
            if not found:
                keep = _unfinished(rest, tag)
                before, self._held = rest[: len(rest) - keep], rest[len(rest) - keep :]
            lines += self._take(before)
            if found:
                lines += self._switch()
            rest = after
        return lines

    def inject(self, text: str, source: str) -> Span:
        """Text that nobody sampled; `settle` comes before it."""
        span = self._new_span("injected")
        span.add(text)
        span.source = source
        return span

    def plan(self, call: str, raw: str) -> Span:
        """A call was read from the worker's text: its raw text is hidden behind it from now on."""
        span = self._draft_of(raw) or self._cut_out(raw) or self._new_span("call")
        span.call = call
        if span in self._drafts:
            at = self._drafts.index(span)
            for skipped in self._drafts[:at]:  # calls are planned in the order they stand in
                skipped.unread = True
            del self._drafts[at]
        return span

    def reply_to_unread(self, text: str) -> bool:
        """The worker was told that a call of its could not be read; False if there is no such call."""
        if not self._drafts:
            return False
        draft = self._drafts.pop(0)
        draft.reply, draft.unread = without_response_tags(text), True
        return True

    def give_up_drafts(self) -> None:
        """Calls that are complete and were not planned until now could not be read."""
        for draft in self._drafts:
            draft.unread = draft.closed

    def settle(self) -> list[str]:
        """Nothing more will be sampled for now: what was held back is shown. Returns the lines that it completes."""
        held, self._held = self._held, ""
        lines = self._take(held)
        if self._writing:
            self._writing.closed = self._writing.cut_short = True
            self._writing = None
        return lines + self._end_line()

    def _take(self, text: str) -> list[str]:
        if not text:
            return []
        if self._writing:
            self._writing.add(text)
            return []
        if text.strip():
            self.give_up_drafts()
        if not self.spans or self.spans[-1].kind != "text":
            self._new_span("text")
        self.spans[-1].add(text)
        *ended, rest = text.split("\n")
        lines: list[str] = []
        for end in ended:
            self._line.append(end)
            lines += self._end_line()
        self._line.append(rest)
        return lines

    def _switch(self) -> list[str]:
        """A tag was read: into a call, or out of it."""
        if self._writing:
            self._writing.closed = True
            self._writing = None
            return []
        lines = self._end_line()
        self._writing = self._new_span("call")
        self._drafts.append(self._writing)
        return lines

    def _end_line(self) -> list[str]:
        line = "".join(self._line).strip()
        self._line.clear()
        return [line] if line else []

    def _new_span(self, kind: SpanKind) -> Span:
        span = Span(kind, len(self.spans))
        self.spans.append(span)
        return span

    def _draft_of(self, raw: str) -> Span | None:
        """The written call that `raw` is the text of; a call of another kind is only guessed at when nothing fits."""
        inner = without_call_tags(raw)
        for draft in self._drafts:
            if draft.text.strip() == inner or (not draft.closed and inner.startswith(draft.text.strip())):
                return draft
        return self._drafts[0] if self._drafts else None

    def _cut_out(self, raw: str) -> Span | None:
        """A call in a format without our tags stands in the text: take it out of there."""
        held, self._held = self._held, ""
        self._take(held)
        last = self.spans[-1] if self.spans else None
        if last is None or last.kind != "text" or not raw.strip():
            return None
        tail = last.tail(len(raw) + 64)
        at = tail.rfind(raw)
        if at < 0:
            return None
        last.cut(len(tail) - at)
        self._line.clear()
        span = self._new_span("call")
        span.add(raw)
        span.closed = True
        if after := tail[at + len(raw) :]:
            self._take(after)
        return span


def shown(lane: Lane) -> Iterator[Span]:
    """The spans that have something to show, the newest first. A heading with the worker's name is the lane's title."""
    for span in reversed(lane.spans):
        is_title = span.source == "header" and all(line.startswith("#") for line in span.text.split("\n") if line)
        if span.kind == "call" or (not is_title and any(part.strip() for part in span.parts)):
            yield span


def without_call_tags(raw: str) -> str:
    """What stands between the tags of a call."""
    return raw.replace(OPEN_TAG, "").replace(CLOSE_TAG, "").strip()


def without_response_tags(text: str) -> str:
    """What a tool said, without the tags that the model reads it in."""
    return _RESPONSE.sub("", text).strip()


def _unfinished(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0
