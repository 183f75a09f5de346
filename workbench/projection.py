"""A run as a person sees it, built by applying its events one after another.

In: `Event`s, in the order of the log. Out: a `RunView`: a lane per worker, the calls, the blocks, who attended to whom,
the figures, the moments worth a line, and how it ended. Pure: no clock, no disk; applying an event costs what the event
holds, never what the run has become. Neighbours: `events` above; `lanes` keeps the streams; `snapshot` makes the plain
values that the widget and the export show, `live` shows the view itself.
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from workbench import events as ev
from workbench.breakpoints import Seen
from workbench.lanes import Lane, without_call_tags, without_response_tags

RATE_STEPS = 32
"""While a run goes on, its speed is that of its last steps."""

UNREAD = "?"
"""The tool of a call whose text could not be read."""

MERGED = "merged steps"
"""Whose words a block holds that was made of several, and which no event speaks of."""

MomentKind = Literal[
    "started", "joined", "says", "calls", "asks", "decides", "result", "told", "state", "paused", "finished"
]
OPEN_CALLS = frozenset({"planned", "asking", "running"})
"""The states of a call that has not ended."""
OUTPUT_CHARS = 2_000
"""Of what a running tool has put out, so much of the end is kept."""
GONE = frozenset({"pruned", "merged"})
_REAL_ENDS = frozenset({"finished", "stopped", "out_of_budget"})


@dataclass(slots=True)
class CallView:
    """One tool call. `state` goes planned, perhaps asking (for a person's word), running, then it is how the call
    ended (`ev.CallStatus`); times are seconds since 1970. See `ev.CallPlanned` and `ev.CallFinished` for the rest."""

    call: str
    worker: str = ""
    tool: str = UNREAD
    arguments: dict[str, Any] = field(default_factory=dict)
    raw: str = ""
    state: str = "planned"
    text: str = ""
    error: str | None = None
    wall_s: float = 0.0
    planned_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    plan: str = ""
    number: str = ""
    """What its plan calls it: `$1` refers to number 1."""
    needs: list[str] = field(default_factory=list)
    effect: str = "read"
    attempts: int = 0
    isolation: str = ""
    shared_with: list[str] = field(default_factory=list)
    cut: bool = False
    num_chars: int = 0
    trusted: bool = True
    progress: str = ""
    """How far the tool is, by its own word."""
    output: str = ""
    problems: list[str] = field(default_factory=list)
    decided_by: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    """What a person was asked about: the arguments with results in the place of references."""
    edited: bool = False
    """Whether a person has changed the arguments; `arguments` are then theirs, and `asked` what they were."""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_CALLS

    @property
    def label(self) -> str:
        """`gcd(a=48, b=36)`, or the text of a call that could not be read."""
        if self.tool == UNREAD and self.raw.strip():
            return without_call_tags(self.raw)
        return call_label(self.tool, self.arguments)

    @property
    def asked_label(self) -> str:
        """The call as a person was asked about it."""
        return call_label(self.tool, self.asked)

    @property
    def edit(self) -> str:
        """`changed by Ann, who was asked for gcd(a=48, b=36)`; empty where nobody has changed it."""
        return (
            f"changed by {self.decided_by or 'a person'}, who was asked for {self.asked_label}" if self.edited else ""
        )

    @property
    def outcome(self) -> str:
        """What it returned, or why it failed; empty while it runs."""
        return self.text if self.is_open or self.state == "succeeded" else (self.error or self.text)


@dataclass(slots=True)
class BlockView:
    """One block of the cache; `length` is in tokens, `state` is open, frozen, pruned or merged (into another)."""

    block: int
    role: str = "worker"
    worker: str | None = None
    text: str = ""
    length: int = 0
    state: str = "open"

    @property
    def owner(self) -> str:
        """Whose words they are: a worker's name, or the block's role."""
        return self.worker or self.role


@dataclass(frozen=True, slots=True)
class Moment:
    """Something worth a line: who, what, when. `call` names the call that it is about."""

    kind: MomentKind
    time: float
    step: int
    worker: str
    text: str
    call: str = ""


@dataclass(slots=True)
class RunView:
    """Everything there is to see of one run so far."""

    run_id: str = ""
    seq: int = 0
    started: ev.RunStarted | None = None
    finished: ev.RunFinished | None = None
    was_interrupted: bool = False
    lanes: dict[str, Lane] = field(default_factory=dict)
    calls: dict[str, CallView] = field(default_factory=dict)
    blocks: dict[int, BlockView] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    shown: list[tuple[str, ev.Shown]] = field(default_factory=list)
    """Rows of the library that stood in the prompt, each with `tool` or `concept` before it."""
    breaks: Seen = field(default_factory=Seen)
    tokens: int = 0
    started_at: float | None = None
    last_at: float | None = None
    _steps: int = 0
    _cached: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_STEPS))

    @classmethod
    def of(cls, events: Iterable[ev.Event]) -> Self:
        """The view of all these events."""
        view = cls()
        for event in events:
            view.apply(event)
        return view

    def __repr__(self) -> str:
        figures = f"{self.steps} steps, {self.tokens} tokens, {len(self.calls)} calls"
        return f"<RunView of {self.run_id}: {self.status}, {figures}>"

    def apply(self, event: ev.Event) -> list[Moment]:
        """Take in the next event; returns the moments that it brought."""
        known = len(self.moments)
        self.run_id, self.seq, self.last_at = event.run_id, event.seq, event.time
        if self.started_at is None:
            self.started_at = event.time
        match event.payload:
            case ev.TokensAdded() as payload:
                self._tokens_added(payload, event.time)
            case ev.TextInjected() as payload:
                self._text_injected(payload)
            case ev.CallPlanned() | ev.CallStarted() | ev.CallFinished() as payload:
                self._call_changed(payload, event.time)
            case ev.CallProgress() | ev.ApprovalAsked() | ev.ApprovalGiven() | ev.PlanProblem() as payload:
                self._call_spoken_of(payload)
            case ev.BlockOpened() | ev.BlockFrozen() | ev.BlockPruned() | ev.BlocksMerged() as payload:
                self._block_changed(payload)
            case ev.RunStarted() | ev.WorkerAdded() | ev.WorkerStateChanged() | ev.RunFinished() as payload:
                self._course_changed(payload)
            case ev.Steered() | ev.BreakpointHit() as payload:
                self.breaks.apply(payload)
                if isinstance(payload, ev.BreakpointHit):
                    self._moment(
                        "paused", payload.worker or "", f"{payload.breakpoint}: {payload.why}", payload.call or ""
                    )
            case ev.LibraryShown() as payload:
                self.shown += [(payload.library, row) for row in payload.rows]
            case ev.UnknownEvent():
                pass
        return self.moments[known:]

    def interrupted(self) -> Self:
        """The log ends here: a run without an end was interrupted."""
        self.was_interrupted = self.finished is None
        return self

    @property
    def status(self) -> str:
        """running, interrupted, or what RunFinished says: solved, unanswered, stopped, failed."""
        if self.finished:
            return self.finished.status
        return "interrupted" if self.was_interrupted else "running"

    @property
    def asking(self) -> list[CallView]:
        """The calls that wait for a person's word, the oldest first."""
        return [call for call in self.calls.values() if call.state == "asking"]

    @property
    def plans(self) -> dict[str, list[CallView]]:
        """The calls of each plan, in its order; calls of runs from before plans are one each."""
        plans: dict[str, list[CallView]] = {}
        for call in self.calls.values():
            plans.setdefault(call.plan or call.call, []).append(call)
        return plans

    @property
    def steps(self) -> int:
        return self.finished.metrics["steps"] if self.finished else self._steps

    @property
    def cache_tokens(self) -> int:
        """Tokens whose keys and values are held, each counted once."""
        return self.finished.metrics["cache_tokens"] if self.finished else self._cached

    @property
    def wall_s(self) -> float:
        if self.finished:
            return self.finished.metrics["wall_s"]
        return (self.last_at or 0.0) - (self.started_at or 0.0)

    @property
    def tokens_per_s(self) -> float:
        """Sampled tokens of all workers per second: of the last steps, or of the whole run once it has ended."""
        if self.finished:
            return self.finished.metrics["tokens_per_s"]
        if len(self._recent) < 2:
            return 0.0
        (since, before), (until, now) = self._recent[0], self._recent[-1]
        return (now - before) / (until - since) if until > since else 0.0

    @property
    def items(self) -> list[ev.AnsweredItem]:
        """The questions of the task, with their answers once the run has ended."""
        if self.finished:
            return self.finished.items
        asked = self.started.items if self.started else []
        return [{"item": i["item"], "question": i["question"], "answer": None, "worker": None} for i in asked]

    def attention_by_owner(self, worker: str) -> dict[str, float]:
        """The mean share of attention that a worker spent on each owner's blocks, itself included; may be empty."""
        lane = self.lanes[worker]
        shares: dict[str, float] = {}
        for block, total in lane.attention_sums.items():
            owner = self.blocks[block].owner if block in self.blocks else MERGED
            shares[owner] = shares.get(owner, 0.0) + total / lane.attention_steps
        return shares

    def _tokens_added(self, payload: ev.TokensAdded, time: float) -> None:
        self._steps += 1
        for added in payload.tokens:
            count = len(added["ids"])
            lane = self._lane(added["worker"])
            lane.tokens += count
            self.tokens += count
            self._grow(added["block"], count, lane.worker)
            for line in lane.add_text(added["text"]):
                self._moment("says", lane.worker, line)
        self._recent.append((time, self.tokens))
        for worker, shares in (payload.attention or {}).items():
            lane = self._lane(worker)
            lane.attention_steps += 1
            for block, share in shares.items():
                lane.attention_sums[int(block)] = lane.attention_sums.get(int(block), 0.0) + share

    def _text_injected(self, payload: ev.TextInjected) -> None:
        self._grow(payload.block, len(payload.ids), payload.worker)
        lane = self._lane(payload.worker)
        for line in lane.settle():
            self._moment("says", lane.worker, line)
        if payload.source == "tool":
            if call := self.calls.get(payload.call or ""):
                call.text = call.text or without_response_tags(payload.text)
                return
            if lane.reply_to_unread(payload.text):
                self._moment("result", lane.worker, f"a call could not be read: {without_response_tags(payload.text)}")
                return
        lane.inject(payload.text, payload.source)
        if payload.source != "header":
            self._moment("told", lane.worker, f"[{payload.source}] {payload.text.strip()}")

    def _call_changed(self, payload: ev.CallPlanned | ev.CallStarted | ev.CallFinished, time: float) -> None:
        call = self.calls.setdefault(payload.call, CallView(payload.call, planned_at=time))
        match payload:
            case ev.CallPlanned():
                call.worker, call.tool, call.arguments = payload.worker, payload.tool, payload.arguments
                call.raw, call.plan, call.number = payload.raw, payload.plan, payload.label
                call.needs, call.effect = payload.needs, payload.effect
                self._lane(call.worker).plan(call.call, payload.raw)
                self._moment("calls", call.worker, call.label, call.call)
            case ev.CallStarted():
                call.state, call.started_at = "running", call.started_at or time
                call.attempts, call.isolation = payload.attempt, payload.isolation
            case ev.CallFinished():
                call.state, call.finished_at, call.wall_s = payload.status, time, payload.wall_s
                call.text, call.error = payload.text, payload.error
                call.attempts, call.isolation = payload.attempts, payload.isolation
                call.shared_with, call.cut = payload.shared_with, payload.cut
                call.num_chars, call.trusted = payload.num_chars, payload.trusted
                sign = "->" if call.state == "succeeded" else f"{call.state.replace('_', ' ')}:"
                self._moment("result", call.worker, f"{call.label} {sign} {call.outcome}", call.call)

    def _call_spoken_of(self, payload: ev.CallProgress | ev.ApprovalAsked | ev.ApprovalGiven | ev.PlanProblem) -> None:
        call = self.calls.get(payload.call or "")
        if call is None:
            if isinstance(payload, ev.PlanProblem):
                self._moment("told", payload.worker, f"[plan] {payload.message}")
            return
        match payload:
            case ev.CallProgress():
                call.output = (call.output + payload.output)[-OUTPUT_CHARS:]
                if payload.done is not None or payload.message:
                    call.progress = progress_text(payload.done, payload.total, payload.message)
            case ev.ApprovalAsked():
                call.state, call.asked = "asking", payload.arguments
                problem = f": {payload.problem}" if payload.problem else ""
                self._moment("asks", call.worker, f"{call.label} waits for a person's word{problem}", call.call)
            case ev.ApprovalGiven():
                label = call.label
                call.state, call.decided_by = "planned", payload.by
                said = "approved" if payload.approved else "rejected"
                if payload.arguments is not None:
                    call.arguments, call.edited = payload.arguments, True
                    call.needs = list(dict.fromkeys([*call.needs, *payload.needs]))
                    said = f"changed to {call.label} and approved"
                reason = f": {payload.reason}" if payload.reason else ""
                self._moment("decides", call.worker, f"{label} {said} by {payload.by}{reason}", call.call)
            case ev.PlanProblem():
                call.problems.append(payload.message)

    def _block_changed(self, payload: ev.BlockOpened | ev.BlockFrozen | ev.BlockPruned | ev.BlocksMerged) -> None:
        block = self._block(payload.block)
        match payload:
            case ev.BlockOpened():
                block.role, block.worker, block.text = payload.role, payload.worker, payload.text
                self._set_length(block, len(payload.tokens))
            case ev.BlockFrozen():
                block.state = "frozen"
                self._set_length(block, payload.length)
            case ev.BlockPruned():
                self._drop(block, "pruned")
            case ev.BlocksMerged():
                for old in payload.merged:
                    self._drop(self._block(old), "merged")
                block.role, block.state = MERGED, "frozen"
                self._set_length(block, payload.length)

    def _course_changed(self, payload: ev.RunStarted | ev.WorkerAdded | ev.WorkerStateChanged | ev.RunFinished) -> None:
        match payload:
            case ev.RunStarted():
                self.started = payload
                for worker in payload.workers:
                    self._lane(worker)
                self._moment("started", "", payload.task)
            case ev.WorkerAdded():
                self._lane(payload.worker).budget = payload.budget
                self._moment("joined", payload.worker, "joined")
            case ev.WorkerStateChanged():
                lane = self._lane(payload.worker)
                lane.state, lane.reason = payload.state, payload.reason
                if payload.state in _REAL_ENDS:
                    self._settle(lane)
                self._moment("state", lane.worker, payload.state + (f": {payload.reason}" if payload.reason else ""))
            case ev.RunFinished():
                for lane in self.lanes.values():
                    self._settle(lane)
                self.finished = payload
                self._moment("finished", "", payload.error or payload.status)

    def _settle(self, lane: Lane) -> None:
        """The worker will say no more."""
        for line in lane.settle():
            self._moment("says", lane.worker, line)
        lane.give_up_drafts()

    def _lane(self, worker: str) -> Lane:
        return self.lanes.setdefault(worker, Lane(worker))

    def _block(self, block: int) -> BlockView:
        return self.blocks.setdefault(block, BlockView(block))

    def _grow(self, block: int, tokens: int, worker: str) -> None:
        if block not in self.blocks:
            self.blocks[block] = BlockView(block, worker=worker)
        self._set_length(self.blocks[block], self.blocks[block].length + tokens)

    def _drop(self, block: BlockView, state: str) -> None:
        if block.state not in GONE:
            block.state = state
            self._cached -= block.length

    def _set_length(self, block: BlockView, length: int) -> None:
        if block.state not in GONE:
            self._cached += length - block.length
        block.length = length

    def _moment(self, kind: MomentKind, worker: str, text: str, call: str = "") -> None:
        self.moments.append(Moment(kind, self.last_at or 0.0, self._steps, worker, text, call))


def progress_text(done: float | None, total: float | None, message: str) -> str:
    """
    >>> progress_text(3, 4, "pages"), progress_text(7, None, ""), progress_text(None, None, "again")
    ('75 % pages', '7', 'again')
    """
    if done is None:
        return message
    far = f"{100 * done / total:.0f} %" if total else f"{done:g}"
    return f"{far} {message}".strip()


def call_label(tool: str, arguments: dict[str, Any]) -> str:
    """`gcd(a=48, b=36)`: the call as one would write it."""
    try:
        given = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    except RecursionError:  # a model can nest lists deeper than anybody reads
        given = "…"
    return f"{tool}({given})"
