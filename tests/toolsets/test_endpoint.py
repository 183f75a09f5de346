"""Asking a chat endpoint over real HTTP: streaming, retries, counts, and a key that stays where it belongs."""

import json
import socket
from typing import Any

import pytest
from scripted_endpoint import Answer, endpoint

from toolsets.chat import ChatRefused, ChatUnavailable, Message, Usage
from toolsets.endpoint import KEY_VARIABLE, ChatEndpoint, Prices

ASKED = [Message("system", "Be short."), Message("user", "What is 6 times 7?")]


def test_a_reply_is_streamed_and_its_tokens_are_counted_and_priced() -> None:
    pieces: list[str] = []
    prices = Prices(1.0, 4.0)
    with (
        endpoint([Answer("It is forty-two, and nothing else.")]) as server,
        ChatEndpoint(server.url, "m", prices=prices) as chat,
    ):
        reply = chat.ask(ASKED, max_tokens=50, temperature=0.5, on_text=pieces.append)
    assert reply.text == "It is forty-two, and nothing else."
    assert len(pieces) > 3
    assert "".join(pieces) == reply.text
    assert reply.model == "scripted-1"
    assert reply.usage.counted
    assert reply.usage.tokens_out == len(reply.text) // 4
    assert reply.usage.cost == pytest.approx((reply.usage.tokens_in + 4 * reply.usage.tokens_out) / 1e6)
    (request,) = server.requests
    assert request["messages"][1] == {"role": "user", "content": "What is 6 times 7?"}
    assert (request["max_tokens"], request["temperature"]) == (50, 0.5)


def test_transient_errors_are_tried_again_and_the_server_says_how_long_to_wait() -> None:
    waits: list[float] = []
    script = [Answer("busy", 503), Answer("slow down", 429, headers={"retry-after": "7"}), Answer("half", breaks=True)]
    with endpoint([*script, Answer("done")]) as server, ChatEndpoint(server.url, "m", sleep=waits.append) as chat:
        assert chat.ask(ASKED).text == "done"
    assert len(server.requests) == 4
    assert waits[1] == 7.0
    assert 0 < waits[0] <= 1.0
    assert waits[2] > 0


def delta(content: Any) -> str:
    return json.dumps({"choices": [{"delta": {"content": content}}]})


def test_a_reply_with_a_broken_event_is_asked_for_again() -> None:
    broken = Answer(events=[delta("6 times "), '{"choices": [{"del', delta(" is 42"), "[DONE]"])
    with endpoint([broken, Answer("42")]) as server, ChatEndpoint(server.url, "m", sleep=lambda _: None) as chat:
        assert chat.ask(ASKED).text == "42"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["<think>Is it 41? ", "No.</think>\n\n42"], "42"),
        (["Is it 41? No.\n</th", "ink>42"], "42"),
        (["<think>Is it 41 or"], ""),
        ([[{"type": "text", "text": "4"}, {"type": "image"}], [{"type": "text", "text": "2"}]], "42"),
        ([None, "4", None, "2"], "42"),
    ],
)
def test_a_reply_is_the_text_of_its_answer_alone(contents: list[Any], text: str) -> None:
    with endpoint([Answer(events=[*map(delta, contents), "[DONE]"])]) as server, ChatEndpoint(server.url, "m") as chat:
        assert chat.ask(ASKED).text == text


def test_what_is_no_reply_is_refused() -> None:
    answers = [Answer(whole=True, body={"choices": None}), Answer(status=307, headers={"location": "http://h/v1"})]
    with endpoint(answers) as server, ChatEndpoint(server.url, "m") as chat:
        with pytest.raises(ChatRefused, match="is it a chat endpoint"):
            chat.ask(ASKED)
        with pytest.raises(ChatRefused, match="ask http://h/v1 if you trust it"):
            chat.ask(ASKED)


def test_after_the_retries_the_reason_is_said() -> None:
    with endpoint([Answer("overloaded", 503)] * 3) as server:
        chat = ChatEndpoint(server.url, "m", retries=2, sleep=lambda _: None)
        with pytest.raises(ChatUnavailable, match=r"after 3 attempts \(status 503: overloaded\)"):
            chat.ask(ASKED)


def test_a_refusal_is_not_tried_again() -> None:
    with (
        endpoint([Answer("no such model", 404)]) as server,
        ChatEndpoint(server.url, "m") as chat,
        pytest.raises(ChatRefused, match="no such model"),
    ):
        chat.ask(ASKED)
    assert len(server.requests) == 1


def test_nobody_there_is_said_in_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chat = ChatEndpoint(f"http://127.0.0.1:{port}/v1", "m", retries=1, sleep=lambda _: None)
    with pytest.raises(ChatUnavailable, match=r"m at 127\.0\.0\.1 did not answer"):
        chat.ask(ASKED)


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    with endpoint([Answer("the key sk-secret is wrong", 401)]) as server, ChatEndpoint(server.url, "m") as chat:
        with pytest.raises(ChatRefused) as refused:
            chat.ask(ASKED)
        assert "sk-secret" not in f"{refused.value}{chat!r}{chat.name}"
    assert "[key] is wrong" in str(refused.value)
    assert server.headers[0]["authorization"] == "Bearer sk-secret"


def test_a_key_is_not_sent_unencrypted_to_a_foreign_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    with pytest.raises(ChatRefused, match=r"unencrypted to example\.org: use https"):
        ChatEndpoint("http://example.org/v1", "m")
    ChatEndpoint("https://example.org/v1", "m").close()


def test_a_server_that_lacks_optional_fields_is_asked_without_them() -> None:
    script = [
        Answer("Unknown field stream_options", 400),
        Answer("use max_completion_tokens instead of max_tokens", 400),
        Answer("fine", usage=False),
        Answer("again"),
    ]
    with endpoint(script) as server, ChatEndpoint(server.url, "m") as chat:
        reply = chat.ask(ASKED, max_tokens=9)
        assert reply.text == "fine"
        assert not reply.usage.counted
        assert reply.usage.tokens_in > 0
        chat.ask(ASKED, max_tokens=9)
    assert server.requests[2]["max_completion_tokens"] == server.requests[3]["max_completion_tokens"] == 9
    assert "stream_options" not in server.requests[3]


def test_a_server_that_does_not_stream_is_read_whole() -> None:
    with endpoint([Answer("all at once", whole=True)]) as server, ChatEndpoint(server.url, "m") as chat:
        assert chat.ask(ASKED).text == "all at once"


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "https://ann:word@host/v1", "http://"])
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ChatRefused):
        ChatEndpoint(url, "m")


def test_usage_adds_up_and_an_unknown_price_stays_unknown() -> None:
    first, second = Usage(10, 5, 0.5, replies=1), Usage(1, 1, 0.25, replies=1)
    assert sum([first, second], Usage()) == Usage(11, 6, 0.75, True, 2)
    assert (first + Usage(1, 1, None, False, 1)).cost is None
    assert Usage().cost is None


def test_a_url_that_holds_a_password_is_refused_with_the_variable_that_the_person_named() -> None:
    with pytest.raises(ChatRefused, match="put the key into OTHER_KEY instead"):
        ChatEndpoint("https://ann:word@host/v1", "m", key_variable="OTHER_KEY")
