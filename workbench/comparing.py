"""Two runs side by side: where they part, and what differs from there on.

In: the events of two runs. Out: a `Comparison`: they are aligned where one was forked from the other, where both were
forked from the same run, or at their beginning; per worker what each wrote after that, the answers, the figures, the
settings. Pure. Neighbours: `events` above; the command line, the server and notebooks show it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench import events as ev
from workbench.projection import RunView
from workbench.visible import one_line, visible


@dataclass(frozen=True, slots=True)
class Aligned:
    """Where two runs part: after event `seq` and step `step` of run `run`; None, 0 and 0: at the beginning."""

    run: str | None
    seq: int
    step: int


@dataclass(frozen=True, slots=True)
class WorkerPair:
    """What one worker wrote, in both runs, after they part. same_steps: so many of its steps are the same in both; None
    if all are."""

    name: str
    same_steps: int | None
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs; `figures` and `settings` are {name: (in a, in b)}, settings only those that differ; `edits` what
    a person has changed of the calls of each, in words."""

    a: str
    b: str
    aligned: Aligned
    workers: list[WorkerPair]
    answers: tuple[str, str]
    items: list[dict[str, Any]]
    figures: dict[str, tuple[Any, Any]]
    settings: dict[str, tuple[Any, Any]]
    edits: tuple[list[str], list[str]] = ([], [])

    def to_json(self) -> dict[str, Any]:
        """As docs/protocol.md has it."""
        where = {"run": self.aligned.run, "seq": self.aligned.seq, "step": self.aligned.step}
        pairs = [{"name": p.name, "same_steps": p.same_steps, "a": p.a, "b": p.b} for p in self.workers]
        a, b = self.answers
        return {
            "a": self.a, "b": self.b, "aligned": where, "workers": pairs, "answers": {"a": a, "b": b, "same": a == b},
            "items": self.items, "metrics": _both(self.figures), "settings": _both(self.settings),
            "edits": {"a": self.edits[0], "b": self.edits[1]},
        }  # fmt: skip

    def __repr__(self) -> str:
        return visible(str(self))

    def __str__(self) -> str:
        at = self.aligned
        lines = [f"a is {self.a}", f"b is {self.b}"]
        lines.append(
            f"They part after step {at.step} of {at.run}." if at.run else "They are aligned at their beginning."
        )
        for pair in self.workers:
            if pair.same_steps is None:
                lines.append(f"{pair.name}: the same")
            else:
                lines += [f"{pair.name}: the same for {pair.same_steps} of its steps, then"]
                lines += [f"  {name}: {one_line(text, 100)}" for name, text in (("a", pair.a), ("b", pair.b))]
        a, b = self.answers
        lines += [f"answer: the same, {one_line(a, 100)}"] if a == b else [f"answer of a: {a}", f"answer of b: {b}"]
        lines += [f"{name}: {x} and {y}" for name, (x, y) in {**self.figures, **self.settings}.items()]
        named = zip(("a", "b"), self.edits, strict=True)
        lines += [f"call of {name}: {one_line(edit, 200)}" for name, edits in named for edit in edits]
        return "\n".join(lines)


def compare(a: Sequence[ev.Event], b: Sequence[ev.Event]) -> Comparison:
    """What two runs have in common, and what not."""
    one, other = RunView.of(a).interrupted(), RunView.of(b).interrupted()
    aligned = _aligned(one, other, a, b)
    left, right = _steps(a, aligned.step), _steps(b, aligned.step)
    names = list(dict.fromkeys([*left, *right]))
    pairs = [_pair(name, left.get(name, []), right.get(name, [])) for name in names]
    answers = tuple(view.finished.answer if view.finished else "" for view in (one, other))
    return Comparison(
        one.run_id, other.run_id, aligned, pairs, (answers[0], answers[1]), _items(one, other), _figures(one, other),
        _settings(one, other), (_edits(one), _edits(other)),
    )  # fmt: skip


def _aligned(one: RunView, other: RunView, a: Sequence[ev.Event], b: Sequence[ev.Event]) -> Aligned:
    first, second = (view.started.parent if view.started else None for view in (one, other))
    if second is not None and second["run_id"] == one.run_id:
        return _after(a, second["run_id"], second["seq"])
    if first is not None and first["run_id"] == other.run_id:
        return _after(b, first["run_id"], first["seq"])
    if first is not None and second is not None and first["run_id"] == second["run_id"]:
        seq = min(first["seq"], second["seq"])
        return _after(_in_common(a, b), first["run_id"], seq)
    return Aligned(None, 0, 0)


def _in_common(a: Sequence[ev.Event], b: Sequence[ev.Event]) -> list[ev.Event]:
    """What two forks of one run begin with: its events, of its numbers, or of lower ones where it was forked or resumed
    before, which forks leave out. So their numbers alone do not say where the past of the earlier one ends."""
    pairs = zip(a[1:], b[1:], strict=False)
    return [one for one, _ in itertools.takewhile(lambda pair: pair[0].payload == pair[1].payload, pairs)]


def _after(events: Sequence[ev.Event], run: str, seq: int) -> Aligned:
    steps = [one.payload.step for one in events if one.seq <= seq and isinstance(one.payload, ev.TokensAdded)]
    return Aligned(run, seq, steps[-1] if steps else 0)


def _steps(events: Sequence[ev.Event], after: int) -> dict[str, list[str]]:
    """Per worker the texts that it sampled, step by step."""
    found: dict[str, list[str]] = {}
    for payload in (one.payload for one in events):
        if isinstance(payload, ev.TokensAdded) and payload.step > after:
            for added in payload.tokens:
                found.setdefault(added["worker"], []).append(added["text"])
    return found


def _pair(name: str, left: list[str], right: list[str]) -> WorkerPair:
    same = next((at for at, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    return WorkerPair(name, None if left == right else same, "".join(left), "".join(right))


def _items(one: RunView, other: RunView) -> list[dict[str, Any]]:
    there = {item["item"]: item for item in other.items}
    return [
        {
            "item": item["item"], "question": item["question"], "a": item["answer"],
            "b": there[item["item"]]["answer"] if item["item"] in there else None,
        }
        for item in one.items
    ]  # fmt: skip


def _figures(one: RunView, other: RunView) -> dict[str, tuple[Any, Any]]:
    names = ("status", "steps", "tokens", "cache_tokens", "wall_s", "tokens_per_s")
    found = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return {**found, "calls": (len(one.calls), len(other.calls))}


def _settings(one: RunView, other: RunView) -> dict[str, tuple[Any, Any]]:
    def told(view: RunView) -> dict[str, Any]:
        started = view.started
        if started is None:
            return {}
        named = {"model": started.model, "model_fingerprint": started.model_fingerprint, "seed": started.seed}
        return {**started.settings, **named, "layout": started.layout, "tools": started.tools}

    left, right = told(one), told(other)
    pairs = {name: (left.get(name), right.get(name)) for name in [*left, *(n for n in right if n not in left)]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _edits(view: RunView) -> list[str]:
    """`c2 gcd(a=48, b=12), changed by Ann, who was asked for gcd(a=48, b=36)`"""
    return [f"{call.call} {call.label}, {call.edit}" for call in view.calls.values() if call.edited]


def _both(pairs: dict[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"a": a, "b": b} for name, (a, b) in pairs.items()}
