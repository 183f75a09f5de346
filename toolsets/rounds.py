"""Divide, then aggregate: rounds of parallel calls, their results told to the model, until it gives its answer.

In: plans that a model writes one after the other. Out: their results as a text for the model, and the final answer.
After DTA-Llama (arXiv 2501.12432, section 3). Neighbours: `executor` runs a round, `results.History` remembers what the
rounds before have done, `fronts` read the model's text.

The ids of calls are unique over all rounds, so that a later round may refer to any earlier result; a change that has
been made is not made again, but answered with its first result, which says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from toolsets.executor import Executor, RunningPlan
from toolsets.fronts.references import reference_text, renamed
from toolsets.plan import Plan, PlannedCall, Ref
from toolsets.rendering import render_call
from toolsets.results import CallOutcome, History
from toolsets.untrusted import neutralise, without_markers

MAX_CHARS: Final = 8_000
"""Of the text of one round."""
MAX_ROUNDS: Final = 8

Think: TypeAlias = Callable[[str], Awaitable[Plan | str]]
"""The model: it is told the results of the last round (nothing at first) and gives a plan, or its final answer."""

_MIN_BODY_CHARS: Final = 80
_MAX_TOOL_CHARS: Final = 80
_MAX_CHANGES: Final = 20


@dataclass(frozen=True, slots=True)
class Aggregate:
    """answer: None where the model went on planning after its last round. outcomes: of all rounds, in order."""

    answer: str | None
    num_rounds: int
    outcomes: tuple[CallOutcome, ...]


class Names:
    """Gives the calls of one round ids that no round has used. taken: ids so far, of all rounds; those of this round
    are added to it."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._names: dict[str, str] = {}

    def rename(self, call: PlannedCall) -> PlannedCall:
        """The call under its new id. Its references mean calls of this round, and where there is none of that id, of
        earlier rounds."""
        arguments = {name: renamed(value, self._names) for name, value in call.arguments.items()}
        after = tuple(self._names.get(id, id) for id in call.after)
        id = call.id if call.id not in self._taken else self._free(call.id)
        # Only from here on: a call that names its own id means the one of an earlier round.
        self._names[call.id] = id
        self._taken.add(id)
        return replace(call, id=id, arguments=arguments, after=after)

    def _free(self, id: str) -> str:
        if id.isascii() and id.isdigit():
            numbers = (int(taken) for taken in self._taken if taken.isascii() and taken.isdigit())
            return str(1 + max(numbers))
        return next(name for n in range(2, len(self._taken) + 3) if (name := f"{id}-{n}") not in self._taken)


class Round:
    """A round that runs. Calls may be added while the model still writes."""

    def __init__(self, running: RunningPlan) -> None:
        self.running = running
        self._names = Names({*running.history.ids, *running.history.open})

    def add(self, call: PlannedCall) -> PlannedCall:
        """Let a call begin as soon as it can; returns it as it runs, with an id that no round has used."""
        call = self._names.rename(call)
        self.running.add(call)
        return call


class Rounds:
    """The rounds of one worker. name: begins the ids of their plans, unique in the executor. markers: what has to be
    neutralised in texts from outside, beside calls and answers: special tokens, headers of workers."""

    def __init__(
        self, executor: Executor, *, name: str = "round", max_chars: int = MAX_CHARS, markers: Collection[str] = ()
    ) -> None:
        self.history = History()
        self._executor, self._name, self._max_chars, self._markers = executor, name, max_chars, markers
        self._plans: list[RunningPlan] = []

    @property
    def num_rounds(self) -> int:
        return len(self._plans)

    @property
    def outcomes(self) -> tuple[CallOutcome, ...]:
        """Of all rounds; in a round, in the plan's order."""
        return tuple(outcome for plan in self._plans for outcome in plan.outcomes)

    @asynccontextmanager
    async def round(self) -> AsyncIterator[Round]:
        """The next round, to add calls to; at the end of the block all of them have ended."""
        async with self._executor.plan(f"{self._name}{self.num_rounds + 1}", history=self.history) as running:
            self._plans.append(running)
            yield Round(running)

    async def run(self, plan: Plan) -> tuple[CallOutcome, ...]:
        """A round whose calls are known."""
        async with self.round() as one:
            for call in plan:
                one.add(call)
        return one.running.outcomes

    def text(self) -> str:
        """What the model is told before its next round: the last results, and what has been changed so far."""
        if not self._plans:
            return ""
        changes = [_reference(one) for one in self.outcomes if one.effect == "write" and one.attempts]
        more = f" and {len(changes) - _MAX_CHANGES} more" if len(changes) > _MAX_CHANGES else ""
        done = f"\nNot to be repeated: {', '.join(changes[-_MAX_CHANGES:])}{more}" if changes else ""
        return render_round(self._plans[-1].outcomes, max(self._max_chars - len(done), 0), self._markers) + done


async def divide_then_aggregate(think: Think, rounds: Rounds, *, max_rounds: int = MAX_ROUNDS) -> Aggregate:
    """Ask for plans and run them until there is an answer. After the last round the model is asked once more."""
    for _ in range(max_rounds):
        thought = await think(rounds.text())
        if isinstance(thought, str):
            return Aggregate(thought, rounds.num_rounds, rounds.outcomes)
        await rounds.run(thought)
    thought = await think(rounds.text())
    return Aggregate(thought if isinstance(thought, str) else None, rounds.num_rounds, rounds.outcomes)


def render_round(outcomes: Sequence[CallOutcome], max_chars: int = MAX_CHARS, markers: Collection[str] = ()) -> str:
    """Results as the model reads them: in the given order, each with the id that later calls may refer to, within
    `max_chars` in all. Short results are whole as long as they can be; the long ones share what is left. Texts from
    outside are marked, and neutralised with these markers.

    >>> print(
    ...     render_round(
    ...         [
    ...             CallOutcome("p", "1", "gcd", "succeeded", "6"),
    ...             CallOutcome("p", "2", "divide", "failed", "failed: Division by zero."),
    ...         ]
    ...     )
    ... )
    $1 gcd = 6
    $2 divide failed: Division by zero.
    """
    if not outcomes:
        return "No call was made."[:max_chars]
    heads, bodies = [_head(one) for one in outcomes], [_body(one, markers) for one in outcomes]
    num_shown = _num_fitting(heads, bodies, max_chars)
    rest = _rest(outcomes, num_shown)
    room_chars = max_chars - len(rest) - sum(len(head) + 1 for head in heads[:num_shown])
    shares = _shares([len(body) for body in bodies[:num_shown]], max(room_chars, 0))
    lines = [
        head + _cut(body, share, outcome)
        for head, body, share, outcome in zip(heads, bodies, shares, outcomes, strict=False)
    ]
    return "\n".join([*lines, rest] if rest else lines)[:max_chars]


def _head(outcome: CallOutcome) -> str:
    # The name of a tool that does not exist is whatever the model wrote.
    tool = " ".join(outcome.tool.split())[:_MAX_TOOL_CHARS]
    outside = "" if outcome.trusted else "(from outside) "
    return f"{_reference(outcome)} {tool} {outside}{'= ' if outcome.succeeded else ''}"


def _body(outcome: CallOutcome, markers: Collection[str]) -> str:
    """The text, with every further line set in, so that no result can look like another call's."""
    text = outcome.text if outcome.trusted else neutralise(outcome.text, markers)
    text = "\n  ".join(text.splitlines())
    if outcome.edited is not None:
        ran = render_call(outcome.tool, outcome.edited)
        ran = without_markers(ran, markers) if outcome.trusted else neutralise(ran, markers)
        text += f" [a person changed the arguments: {ran}]"
    return f"{text} [shared with {', '.join(outcome.shared_with)}]" if outcome.shared_with else text


def _reference(outcome: CallOutcome) -> str:
    return reference_text(Ref(outcome.call))


def _num_fitting(heads: Sequence[str], bodies: Sequence[str], max_chars: int) -> int:
    """How many results have room, each with at least the beginning of its text."""
    least = [len(head) + min(len(body), _MIN_BODY_CHARS) + 1 for head, body in zip(heads, bodies, strict=True)]
    if sum(least) <= max_chars:
        return len(least)
    # Whatever the number of those left out, the line about them is no longer than this.
    room_chars, number = max_chars - 160, 0
    for chars in least:
        room_chars -= chars
        if room_chars < 0:
            break
        number += 1
    return number


def _rest(outcomes: Sequence[CallOutcome], num_shown: int) -> str:
    if num_shown == len(outcomes):
        return ""
    failed = sum(not one.succeeded for one in outcomes[num_shown:])
    return f"[{len(outcomes) - num_shown:,} more calls are not shown, {failed:,} of them without success]"


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """What each gets of the room: all that it needs, or as much as any other that needs more."""
    shares = [0] * len(lengths)
    left = len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        shares[index] = min(lengths[index], room // left)
        room -= shares[index]
        left -= 1
    return shares


def _cut(body: str, chars: int, outcome: CallOutcome) -> str:
    if len(body) <= chars:
        return body
    note = f" [cut; whole in result {outcome.result_id}]"
    return body[: max(chars - len(note), 0)] + note[:chars]
