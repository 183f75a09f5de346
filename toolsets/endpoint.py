"""Any server that speaks the OpenAI protocol, by URL: the reply streamed, transient errors tried again, tokens counted.

In: a URL, a model's name, messages. Out: a `Reply`. The key is read from an environment variable that the person names
and goes into one header; it is in no message, no log and no `repr`, and it is not sent unencrypted beyond the local
network. Neighbours: `chat` is the protocol, httpx2 the transport. Where a server does not know a field of the request
(stream_options, max_tokens, temperature), the request is made again without it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from toolsets.chat import (
    KEY_VARIABLE,
    TIMEOUT_S,
    ChatError,
    ChatRefused,
    ChatUnavailable,
    Message,
    Reply,
    Usage,
)

RETRIES: Final = 4
BACKOFF_S: Final = 1.0
MAX_WAIT_S: Final = 60.0
MAX_REPLY_CHARS: Final = 1_000_000
_TRANSIENT: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_CHARS_PER_TOKEN: Final = 4
_THOUGHT: Final = ("<think>", "</think>")
# What a server may complain of in a request that is otherwise good, and what to send instead.
_OPTIONAL: Final[Mapping[str, str | None]] = {
    "stream_options": None,
    "max_tokens": "max_completion_tokens",
    "temperature": None,
}


@dataclass(frozen=True, slots=True)
class Prices:
    """Per million tokens, in any currency."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class ChatEndpoint:
    """One model of one server. Safe to use from several threads; `close` it, or use it in a `with`.

    key_variable: the environment variable that holds the key; no key is sent where it is not set. timeout_s: how long
    nothing may come. sleep: waits between retries, to be replaced in tests.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str = KEY_VARIABLE,
        prices: Prices | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url, self.model = _checked_url(url, key_variable), model
        if not model.strip():
            raise ChatRefused("There is no model named: say which model of the endpoint is to be asked.")
        self._prices, self._retries, self._sleep = prices, retries, sleep
        self._key = os.environ.get(key_variable, "").strip()
        if self._key and not _may_carry_secret(self.url):
            raise ChatRefused(
                f"The key in {key_variable} would be sent unencrypted to {self.url.host}: use https, or unset it."
            )
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx2.Client(headers=headers, timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, 20.0)))
        self._omitted: set[str] = set()

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url.host}"

    def __repr__(self) -> str:
        return f"<ChatEndpoint {self.name}>"

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> ChatEndpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        on_text: Callable[[str], object] | None = None,
    ) -> Reply:
        """The model's reply. Raises ChatRefused where asking again is in vain, ChatUnavailable after the retries."""
        wanted: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        wanted |= {"max_tokens": max_tokens} if max_tokens is not None else {}
        wanted |= {"temperature": temperature} if temperature is not None else {}
        began, failures = time.monotonic(), 0
        while True:
            try:
                heard = self._request(self._accepted(wanted), on_text)
                return self._reply(heard, messages, time.monotonic() - began)
            except _Unknown as unknown:
                self._omitted.add(unknown.field)
            except _Transient as problem:
                if failures >= self._retries:
                    raise ChatUnavailable(
                        f"{self.name} did not answer after {failures + 1} attempts ({problem}): try again later."
                    ) from problem
                failures += 1
                self._sleep(problem.wait_s if problem.wait_s is not None else _backoff_s(failures))

    def _accepted(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The request without the fields that this server has refused before."""
        request = dict(wanted)
        for name in self._omitted & request.keys():
            value, other = request.pop(name), _OPTIONAL[name]
            if other is not None:
                request[other] = value
        return request

    def _request(self, request: Mapping[str, Any], on_text: Callable[[str], object] | None) -> _Heard:
        heard = _Heard()
        try:
            with self._client.stream("POST", self.url, json=request) as response:
                if response.status_code != 200:
                    self._refused(response, request)
                for data in _objects(response):
                    if (piece := heard.take(data)) and on_text is not None:
                        on_text(piece)
                    if data.get("error"):
                        raise _Transient(self._safe(_error_text(data)))
        except httpx2.SSEError as error:
            raise ChatRefused(f"{self.name} answered with something else than a stream of events: {error}") from error
        except httpx2.TransportError as error:
            raise _Transient(self._safe(f"{type(error).__name__}: {error}")) from error
        if not heard.complete:
            raise _Transient("the reply broke off")
        return heard

    def _refused(self, response: httpx2.Response, request: Mapping[str, Any]) -> None:
        """Raise what follows from an answer that is no reply."""
        body = response.read()[:20_000].decode("utf-8", "replace")
        said = self._safe(_error_text(_json_object(body)) or " ".join(body.split()))[:300]
        if response.status_code in _TRANSIENT:
            raise _Transient(f"status {response.status_code}: {said}", _retry_after_s(response))
        if response.status_code in (400, 422):
            for name in _OPTIONAL:
                if name in said and name in request:
                    raise _Unknown(name)
        moved = " ".join(response.headers.get("location", "").split())
        if response.status_code in range(300, 400) and moved:
            said = f"ask {moved[:300]} if you trust it"
        reason = {
            401: "the key was refused; set the right one",
            403: "the key may not be used for this",
            404: "there is no such model or address",
        }.get(response.status_code, f"status {response.status_code}")
        raise ChatRefused(f"{self.name} refuses the request ({reason}): {said or 'it gave no reason'}")

    def _reply(self, heard: _Heard, messages: Sequence[Message], wall_s: float) -> Reply:
        whole = "".join(heard.pieces)
        text = _answer(whole)
        counts = (heard.usage.get("prompt_tokens"), heard.usage.get("completion_tokens"))
        counted = all(isinstance(count, int) for count in counts)
        guessed = (sum(len(one.content) for one in messages) // _CHARS_PER_TOKEN, len(whole) // _CHARS_PER_TOKEN)
        tokens_in, tokens_out = (int(count) for count in (counts if counted else guessed) if count is not None)
        stated = heard.usage.get("cost")
        cost = self._prices.of(tokens_in, tokens_out) if self._prices else stated
        usage = Usage(tokens_in, tokens_out, cost if isinstance(cost, int | float) else None, counted, replies=1)
        return Reply(text, usage, heard.model or self.model, heard.finish_reason or "stop", wall_s)

    def _safe(self, text: str) -> str:
        """A text of the server's without the key, which some repeat."""
        return text.replace(self._key, "[key]") if self._key else text


@dataclass(slots=True)
class _Heard:
    """What has come of a reply so far."""

    pieces: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    finish_reason: str = ""
    done: bool = False
    chars: int = 0

    @property
    def complete(self) -> bool:
        return self.done or bool(self.finish_reason)

    def take(self, data: Mapping[str, Any]) -> str:
        """Take in one object of the stream; returns the text that it adds."""
        self.done = self.done or bool(data.get("done_marker"))
        if isinstance(usage := data.get("usage"), dict):
            self.usage = usage
        self.model = data["model"] if isinstance(data.get("model"), str) else self.model
        choices = data.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return ""
        # A server that does not stream says `message` where one that does says `delta`.
        part = choices[0].get("delta") or choices[0].get("message") or {}
        if isinstance(reason := choices[0].get("finish_reason"), str):
            self.finish_reason = reason
        text = _text(part.get("content")) if isinstance(part, dict) else ""
        if not text:
            return ""
        self.chars += len(text)
        if self.chars > MAX_REPLY_CHARS:
            raise ChatRefused(f"The reply is longer than {MAX_REPLY_CHARS:,} characters: set a limit of tokens.")
        self.pieces.append(text)
        return text


class _Transient(Exception):
    """May work in a moment. wait_s: how long the server asks to wait, None where it does not say."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Unknown(Exception):
    """The server does not know a field that it could do without."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def _objects(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """The objects of a reply, streamed or whole."""
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        whole = _json_object(response.read().decode("utf-8", "replace"))
        if not (whole.get("choices") or _error_text(whole)):
            raise ChatRefused("The endpoint answered with something that is no reply: is it a chat endpoint?")
        yield {**whole, "done_marker": True}
        return
    for event in httpx2.EventSource(response, max_event_size=8 * MAX_REPLY_CHARS):
        if event.data.strip() == "[DONE]":
            yield {"done_marker": True}
            return
        if event.data.strip():
            data = _json_object(event.data)
            if not data:  # passed over, it would be a hole in the reply
                raise _Transient("an event of the stream is no JSON object")
            yield data


def _text(content: Any) -> str:
    """The text of a message's content, which some servers send in typed parts."""
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _answer(text: str) -> str:
    """A reply without what the model thought aloud before it, where the server leaves that in; empty where it broke off
    before it came to an answer. The beginning of a thought is often in the prompt, and so not in the reply."""
    begin, end = _THOUGHT
    _, ended, answer = text.partition(end)
    if ended:
        return answer.lstrip()
    return "" if text.lstrip().startswith(begin) else text


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _error_text(data: Mapping[str, Any]) -> str:
    error = data.get("error", data.get("detail", data.get("message", "")))
    if isinstance(error, Mapping):
        error = error.get("message", "")
    return " ".join(str(error).split()) if error else ""


def _retry_after_s(response: httpx2.Response) -> float | None:
    try:
        return min(max(float(response.headers.get("retry-after", "")), 0.0), MAX_WAIT_S)
    except ValueError:
        return None


def _backoff_s(failures: int) -> float:
    """Doubles, and half of it is random, so that many clients do not come back together."""
    longest_s = min(BACKOFF_S * 2.0 ** (failures - 1), MAX_WAIT_S)
    return longest_s * (0.5 + 0.5 * random.random())


def _checked_url(text: str, key_variable: str) -> httpx2.URL:
    """The URL of the chat completions; a base such as https://host/v1 is completed."""
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise ChatRefused(f"{text!r} is no URL ({error}): give one such as https://host/v1.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ChatRefused(f"{text!r} is no URL of an endpoint: give one such as https://host/v1.")
    if url.userinfo:
        raise ChatRefused(f"The URL of {url.host} holds a name or a password: put the key into {key_variable} instead.")
    path = url.path.rstrip("/")
    return url if path.endswith("/chat/completions") else url.copy_with(path=f"{path}/chat/completions")


def _may_carry_secret(url: httpx2.URL) -> bool:
    if url.scheme == "https" or url.host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


__all__ = ["KEY_VARIABLE", "TIMEOUT_S", "ChatEndpoint", "ChatError", "Prices"]
