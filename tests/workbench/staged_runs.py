"""Runs written by hand, event by event, each through the JSON form that the log stores.

`Story` writes any run; `worksheet()` writes the usual one: workers that claim items, call a tool, read its result and
write the answer line, token by token and all of them in every step.
"""

import json
from collections.abc import Sequence
from typing import Any

from workbench import events as ev
from workbench.event_json import from_json, to_json

RUN_ID = "20261123-091500-k3f9"
START = 1_795_425_300.0
HOSTILE = "<script>alert(1)</script> [bold]loud[/bold] [/] \x1b[31mred\x1b[0m </pre>`x`| $a$ \u202egnp\r &amp; \x9b2J"
"""Markup of every view there is; what must never be acted upon."""

QUESTIONS = (
    ("What is the gcd of 48 and 36?", "Greatest common divisor", "gcd", {"a": 48, "b": 36}, "12"),
    ("How many days lie between 2026-01-01 and 2026-03-01?", "Days between two dates", "days_between",
     {"start": "2026-01-01", "end": "2026-03-01"}, "59"),
    ("Spell 'shared' backwards.", "Text in reverse", "reverse_text", {"text": "shared"}, "derahs"),
    ("What is 20 percent of $50?", "Share of a value", "percent_of", {"percent": 20, "value": 50}, "10"),
)  # fmt: skip
NAMES = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi")


class Story:
    """Writes events with rising numbers and times; every event has been JSON text in between."""

    def __init__(self, run_id: str = RUN_ID) -> None:
        self.run_id = run_id
        self.now = START
        self.events: list[ev.Event] = []
        self.step = 0

    def add(self, payload: ev.Payload, after_s: float = 0.05) -> ev.Event:
        self.now = round(self.now + after_s, 6)
        event = ev.Event(self.run_id, len(self.events) + 1, self.now, payload)
        self.events.append(from_json(json.loads(json.dumps(to_json(event)))))
        return self.events[-1]

    def begin(self, workers: Sequence[str], questions: Sequence[Any] = QUESTIONS, **started: Any) -> None:
        items: list[ev.Item] = [{"item": n, "question": q[0]} for n, q in enumerate(questions, 1)]
        task = "\n".join(f"{item['item']}. {item['question']}" for item in items)
        fields: dict[str, Any] = {
            "task": task, "items": items, "model": "embedded", "model_fingerprint": "sha256:0f1e", "seed": 7,
            "versions": {"workbench": "0.1.0", "torch": "2.13.0"}, "layout": "contiguous", "workers": list(workers),
            "settings": {"max_tokens": 400}, "tools": [q[2] for q in questions],
        }  # fmt: skip
        self.add(ev.RunStarted(**fields | started))
        self.add(ev.BlockOpened(1, "prompt", None, task, list(range(40))))
        for number, worker in enumerate(workers):
            self.add(ev.WorkerAdded(worker, {"temperature": 0.0}, 200), after_s=0.001)
            self.add(ev.BlockOpened(10 + number, "worker", worker), after_s=0.0)
            header = f"# {worker}'s notes\n\n"
            self.add(ev.TextInjected(worker, 10 + number, header, [5, 6, 7], "header"), after_s=0.0)

    def tokens(self, attention: dict[str, dict[str, float]] | None = None, **texts: str) -> None:
        """One step in which each of these workers sampled this text, as one token."""
        self.step += 1
        workers = list(self.blocks())
        added: list[ev.WorkerTokens] = [
            {"worker": w, "block": self.blocks()[w], "ids": [len(text)], "text": text} for w, text in texts.items()
        ]
        assert set(texts) <= set(workers)
        self.add(ev.TokensAdded(self.step, added, attention))

    def blocks(self) -> dict[str, int]:
        """Each worker's newest own block."""
        opened = [event.payload for event in self.events if isinstance(event.payload, ev.BlockOpened)]
        return {block.worker: block.block for block in opened if block.worker}

    def call(self, worker: str, call: str, tool: str, arguments: dict[str, Any], result: str | None) -> None:
        """What follows on the closing tag: planned, started, and with a result finished and told to the worker."""
        raw = raw_call(tool, arguments)
        self.add(ev.CallPlanned(call, worker, tool, arguments, raw), after_s=0.0)
        self.add(ev.WorkerStateChanged(worker, "waiting", f"{tool} runs"), after_s=0.0)
        self.add(ev.CallStarted(call), after_s=0.001)
        if result is not None:
            self.add(ev.CallFinished(call, "succeeded", result, None, 0.002), after_s=0.002)
            text = f"<tool_response>{result}</tool_response>"
            self.add(ev.TextInjected(worker, self.blocks()[worker], text, [1, 2, 3], "tool", call), after_s=0.0)
            self.add(ev.WorkerStateChanged(worker, "decoding"), after_s=0.0)

    def finish(self, status: ev.EndStatus = "solved", answer: str = "", error: str | None = None) -> None:
        started = self.events[0].payload
        assert isinstance(started, ev.RunStarted)
        answers = {event.payload.call: event.payload.text for event in self.events
                   if isinstance(event.payload, ev.CallFinished)}  # fmt: skip
        items: list[ev.AnsweredItem] = [
            {"item": i["item"], "question": i["question"], "answer": answers.get(f"c{i['item']}"), "worker": None}
            for i in started.items
        ]
        for number, item in enumerate(items):
            item["worker"] = started.workers[number % len(started.workers)] if item["answer"] else None
        metrics: ev.Metrics = {
            "steps": self.step, "wall_s": 3.2, "tokens_per_s": 41.5, "cache_tokens": 512, "calls": len(answers),
            "workers": [{"name": w, "tokens": self.step, "state": "finished"} for w in started.workers],
        }  # fmt: skip
        self.add(ev.RunFinished(status, answer, items, metrics, error))


def raw_call(tool: str, arguments: dict[str, Any]) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


def pieces(text: str, size: int = 4) -> list[str]:
    """Text as it comes out of a decoder: in bits that know nothing of words or tags."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def worksheet(
    workers: int = 2, questions: Sequence[Any] = QUESTIONS, finished: bool = True, **started: Any
) -> list[ev.Event]:
    """Workers take turns at the questions; those that have none left write that they are done."""
    story = Story()
    names = NAMES[:workers]
    story.begin(names, questions, **started)
    for first in range(0, len(questions), workers):
        _round(story, names, list(enumerate(questions, 1))[first : first + workers])
    for name in names:
        story.add(ev.WorkerStateChanged(name, "finished", "wrote the end of its turn"), after_s=0.01)
    if finished:
        answer = "\n".join(f"{n}. {q[4]}" for n, q in enumerate(questions, 1))
        story.finish("solved", answer)
    return story.events


def _round(story: Story, names: Sequence[str], share: Sequence[tuple[int, Any]]) -> None:
    """One item for each worker: claim it and call in lockstep, then hear the result and write the answer."""
    taken = list(zip(names, share, strict=False))
    texts = {name: pieces(f"I take {n}: {q[1]}.\n\n{raw_call(q[2], q[3])}") for name, (n, q) in taken}
    _together(story, texts)
    for name, (n, q) in taken:
        story.call(name, f"c{n}", q[2], q[3], q[4])
    _together(story, {name: pieces(f"\n\nAnswer {n}: {q[4]}\n\n") for name, (n, q) in taken})


def _together(story: Story, texts: dict[str, list[str]]) -> None:
    for at in range(max(map(len, texts.values()))):
        now = {name: bits[at] for name, bits in texts.items() if at < len(bits)}
        shares = {name: {"1": 0.5, **{str(block): 0.5 / len(story.blocks()) for block in story.blocks().values()}}
                  for name in now}  # fmt: skip
        story.tokens(attention=shares, **now)
