"""Asking a language model: messages in, a reply with its token counts out, whoever answers.

In: messages. Out: a `Reply`, or a ChatError of one sentence. Neighbours: `endpoint` asks any server that speaks the
OpenAI protocol; a local model can stand in with an `ask` of its own; `making` only knows the protocol below. Values
and a protocol, no effects.

    ToolsetError
    └── ChatError             there is no reply
        ├── ChatRefused           the server says no: a wrong key, model or request; asking again is in vain
        └── ChatUnavailable       nobody answers, or only half, also after some retries
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from toolsets.errors import ToolsetError

KEY_VARIABLE: Final = "WORKBENCH_API_KEY"
TIMEOUT_S: Final = 120.0
"""How long a server may be silent."""
Role: TypeAlias = Literal["system", "user", "assistant"]


class ChatError(ToolsetError):
    """A model that was asked gave no reply."""


class ChatRefused(ChatError):
    """The server refuses the request as it is."""


class ChatUnavailable(ChatError):
    """The server cannot be reached, or does not answer completely."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """tokens_in, tokens_out: of prompts and replies. cost: in the currency of the prices, None where no price is known.
    counted: the server counted the tokens; else they are guessed from the length of the texts."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    counted: bool = True
    replies: int = 0

    def __add__(self, other: Usage) -> Usage:
        costs = [one.cost for one in (self, other) if one.replies]
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            None if None in costs or not costs else sum(cost for cost in costs if cost is not None),
            self.counted and other.counted,
            self.replies + other.replies,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """finish_reason: stop, length, or whatever the server says. model: what the server says it is."""

    text: str
    usage: Usage
    model: str
    finish_reason: str = "stop"
    wall_s: float = 0.0


class Chat(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """Which model where, for provenance; holds no secret."""
        ...

    def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        on_text: Callable[[str], object] | None = None,
    ) -> Reply:
        """The reply to a conversation; on_text is given each piece of it as it comes. Raises ChatError."""
        ...
