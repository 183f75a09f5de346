"""The facts of a run, as immutable values.

In: what the session, the engine and the tools report, as payloads (`TokensAdded(...)`). Out: `Event`s, payloads in the
envelope that the log puts on (run, number, time). Neighbours: `event_json` is their JSON form; the log stores them,
projections, the live view, the widget and the export read them.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypedDict

Role = Literal["prompt", "worker", "separator"]
Source = Literal["header", "tool", "person", "check", "closing", "edit"]
WorkerState = Literal["decoding", "waiting", "paused", "finished", "stopped", "out_of_budget"]
CallStatus = Literal["succeeded", "failed", "timed_out", "cancelled", "skipped", "rejected", "not_executed"]
EndStatus = Literal["solved", "unanswered", "stopped", "failed"]


class Item(TypedDict):
    """One question of a worksheet."""

    item: int
    question: str


class AnsweredItem(TypedDict):
    """One question and what became of it."""

    item: int
    question: str
    answer: str | None
    worker: str | None


class WorkerTokens(TypedDict):
    """What one worker sampled in one step; `text` is the decoded difference, often a part of a word."""

    worker: str
    block: int
    ids: list[int]
    text: str


class Shown(TypedDict):
    """One row of a library that was put into a run's prompt, and why: view, exemplar and score of the hit."""

    row: str
    name: str
    version: int
    why: dict[str, Any]


class ToolCode(TypedDict):
    """The code of a tool that is not of the standard set. of: person, a function that was handed over, with its
    imports; library, code that runs in the sandbox; process, none that stands by itself."""

    name: str
    of: str
    code: str
    effect: str


class Origin(TypedDict):
    """Where a fork left its parent: after event `seq` of run `run_id`."""

    run_id: str
    seq: int


class WorkerReport(TypedDict):
    """One worker at the end of a run."""

    name: str
    tokens: int
    state: str


class Metrics(TypedDict):
    """The figures of a finished run."""

    steps: int
    wall_s: float
    tokens_per_s: float
    cache_tokens: int
    calls: int
    workers: list[WorkerReport]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The task as it was given and all that is needed to do it again."""

    kind: ClassVar[str] = "run_started"
    task: str
    items: list[Item]
    model: str
    model_fingerprint: str
    versions: dict[str, str]
    seed: int
    layout: str
    workers: list[str]
    settings: dict[str, Any]
    tools: list[str]
    parent: Origin | None = None
    sources: list[ToolCode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WorkerAdded:
    """A worker joined, at the start or in mid-run; `budget` is in tokens, None means no limit of its own. `tools` are
    those that it may call, None for all that the run offers; `instruction` stands at the beginning of its block."""

    kind: ClassVar[str] = "worker_added"
    worker: str
    sampling: dict[str, Any]
    budget: int | None = None
    tools: list[str] | None = None
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class BlockOpened:
    """A block began; `text` and `tokens` are what it was given at birth: of a worker's own block, the tokens that wait
    to be appended to it, which only a block that a fork opened has."""

    kind: ClassVar[str] = "block_opened"
    block: int
    role: Role
    worker: str | None = None
    text: str = ""
    tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BlockFrozen:
    """A block will not grow any more; `length` is in tokens. What stood in it beyond that is gone: a person has
    replaced it in a fork. A worker's last open block is frozen when its step is over, and joins the history."""

    kind: ClassVar[str] = "block_frozen"
    block: int
    length: int


@dataclass(frozen=True, slots=True)
class BlockPruned:
    """A block left every view."""

    kind: ClassVar[str] = "block_pruned"
    block: int


@dataclass(frozen=True, slots=True)
class BlocksMerged:
    """Frozen neighbours of the common history became one block, `length` tokens long; the old ones are gone."""

    kind: ClassVar[str] = "blocks_merged"
    block: int
    length: int
    merged: list[int]


@dataclass(frozen=True, slots=True)
class TokensAdded:
    """One engine step: what every decoding worker sampled in it; nothing in a step that only took in text.

    `attention`, when asked for, is {worker: {block id as text: share}}, mean over heads and layers. `fed` is how many
    tokens each worker appended to its block in this step, all of which were waiting for it; None: one for each worker
    that has sampled. `ended` are the workers that sampled the end of their turn, which is no token of a block. With
    these two, the log says exactly what every worker saw (`workbench.tapes`).
    """

    kind: ClassVar[str] = "tokens_added"
    step: int
    tokens: list[WorkerTokens]
    attention: dict[str, dict[str, float]] | None = None
    fed: dict[str, int] | None = None
    ended: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TextInjected:
    """Text that no worker sampled was put into a worker's block; `call` names the call whose result it is, `line` the
    person's line (see SayQueued). `source` edit: a person's words in the place of the worker's last ones, in a fork."""

    kind: ClassVar[str] = "text_injected"
    worker: str
    block: int
    text: str
    ids: list[int]
    source: Source
    call: str | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True)
class CallPlanned:
    """A worker's text contained a call; `raw` is that text as it stood.

    `call` is unique in the run, `label` is what the worker's text calls it in its plan `plan` (`$1` refers to label 1).
    `needs` are the calls whose results its arguments refer to.
    """

    kind: ClassVar[str] = "call_planned"
    call: str
    worker: str
    tool: str
    arguments: dict[str, Any]
    raw: str
    plan: str = ""
    label: str = ""
    needs: list[str] = field(default_factory=list)
    effect: str = "read"


@dataclass(frozen=True, slots=True)
class CallsGuided:
    """From here on workers can only write calls of these tools: `{name, parameters, required, free}` each; `free`: its
    arguments may have other names. A run without this event is not guided."""

    kind: ClassVar[str] = "calls_guided"
    tools: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AnswerGuided:
    """Whoever is asked for the answer can only write JSON of this JSON Schema."""

    kind: ClassVar[str] = "answer_guided"
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """Something in a worker's plan cannot be run; `line` counts from 1 in the plan's text, `call` if one is meant."""

    kind: ClassVar[str] = "plan_problem"
    worker: str
    plan: str
    message: str
    line: int | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The tool began to run: its arguments with references filled in, and what stands between it and this process."""

    kind: ClassVar[str] = "call_started"
    call: str
    attempt: int = 1
    arguments: dict[str, Any] | None = None
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A running tool told how far it is (`total` None if it does not know), or gave a part of its output (`output`)."""

    kind: ClassVar[str] = "call_progress"
    call: str
    done: float | None = None
    total: float | None = None
    message: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A call waits for a person's word; `problem` is why it waits on, though a person has given it other arguments."""

    kind: ClassVar[str] = "approval_asked"
    call: str
    arguments: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """A person decided about a call.

    `arguments`, where the person changed them: what they wrote in the place of what ApprovalAsked says, all of it,
    references as in CallPlanned; what was left as it was asked for stands here as it stands there. CallStarted has what
    the tool got. `needs` are the calls whose results the person's arguments refer to.
    """

    kind: ClassVar[str] = "approval_given"
    call: str
    approved: bool
    by: str = ""
    reason: str = ""
    arguments: dict[str, Any] | None = None
    needs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CallFinished:
    """The tool returned (`text` is what the caller reads) or the call ended otherwise (`error` says why).

    `isolation` says what the call had; `shared_with` names the calls that the same execution answered; `num_chars` is
    the whole result's length, of which `text` shows a part if `cut`; `trusted` is False for text from outside.
    """

    kind: ClassVar[str] = "call_finished"
    call: str
    status: CallStatus
    text: str
    error: str | None = None
    wall_s: float = 0.0
    attempts: int = 1
    isolation: str = ""
    shared_with: list[str] = field(default_factory=list)
    cut: bool = False
    num_chars: int = 0
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class LibraryShown:
    """Rows of a library were put into the prompt of this run; `library` is tool or concept."""

    kind: ClassVar[str] = "library_shown"
    library: str
    rows: list[Shown]


@dataclass(frozen=True, slots=True)
class Steered:
    """A person's command was taken: stop, pause, resume, step, break_at, set_sampling, add_worker, ...

    `key` is the command's idempotency key; the same key is never carried out twice.
    """

    kind: ClassVar[str] = "steered"
    command: str
    arguments: dict[str, Any]
    key: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class BreakpointHit:
    """What a person asked the run to pause for has happened, and it is paused: `breakpoint` is the name that
    Steered(break_at) gave it, `why` says in words what happened after `step`, `call` is the call that waits for the run
    to go on, `text` what was written."""

    kind: ClassVar[str] = "breakpoint_hit"
    breakpoint: str
    step: int
    why: str
    worker: str | None = None
    call: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class SayQueued:
    """A person's line waits to be put into a worker's block; queued again with the same `line`, it replaces the text.

    `worker` None: for everybody. An empty text takes the line back. Once said, TextInjected names the line."""

    kind: ClassVar[str] = "say_queued"
    line: str
    worker: str | None
    text: str
    when: str = "now"


@dataclass(frozen=True, slots=True)
class SamplingChanged:
    """From here on the worker samples so."""

    kind: ClassVar[str] = "sampling_changed"
    worker: str
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunForked:
    """Another run, `child`, went on from event `at` of this one."""

    kind: ClassVar[str] = "run_forked"
    child: str
    at: int


@dataclass(frozen=True, slots=True)
class RunResumed:
    """An interrupted run goes on; what it had is in this log, its cache was computed again."""

    kind: ClassVar[str] = "run_resumed"
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerStateChanged:
    """A worker's state, and in words why it changed."""

    kind: ClassVar[str] = "worker_state_changed"
    worker: str
    state: WorkerState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of a run that came to its end; a run without it was interrupted.

    misfit: what is wrong with the answer, where one of some form was asked for and it does not have it."""

    kind: ClassVar[str] = "run_finished"
    status: EndStatus
    answer: str
    items: list[AnsweredItem]
    metrics: Metrics
    error: str | None = None
    misfit: str = ""

    @property
    def complaint(self) -> str:
        """What a person has to be told beside the answer."""
        return self.error or self.misfit


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A fact that this version cannot interpret, kept as it was stored."""

    kind: str
    data: dict[str, Any]


Payload = (
    RunStarted
    | WorkerAdded
    | BlockOpened
    | BlockFrozen
    | BlockPruned
    | BlocksMerged
    | TokensAdded
    | TextInjected
    | CallsGuided
    | AnswerGuided
    | CallPlanned
    | PlanProblem
    | CallStarted
    | CallProgress
    | ApprovalAsked
    | ApprovalGiven
    | CallFinished
    | LibraryShown
    | Steered
    | BreakpointHit
    | SayQueued
    | SamplingChanged
    | RunForked
    | RunResumed
    | WorkerStateChanged
    | RunFinished
    | UnknownEvent
)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of one run. `seq` counts from 1 in each run without gaps; `time` is in seconds since 1970."""

    run_id: str
    seq: int
    time: float
    payload: Payload

    @property
    def kind(self) -> str:
        return self.payload.kind
