"""The Python face: `Workbench` starts runs, `Run` is the handle of one. The engine works in a thread of its own.

In: tasks and wishes. Out: events in the run log; everything a handle shows is read from them. Above: people, `cli`,
notebooks. Below: `driver` (one run), `log`, `hogwild.stepping.advance` (one step over all runs of the engine).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args

from hogwild.prompting import NAMES
from toolsets.errors import ToolsetError
from toolsets.policy import CallPolicy
from toolsets.tool import Tool
from workbench import events as ev
from workbench import run_settings
from workbench.answer_values import form_of
from workbench.breakpoints import Breakpoint, Predicate, breakpoints_of, sendable
from workbench.engine.client import EngineClient, default_kind
from workbench.engine.remote import PROVE_S, RemoteRun
from workbench.errors import UsageError, WorkbenchError
from workbench.libraries import Concepts, Libraries, Tools
from workbench.library_values import Proposal, Rows
from workbench.log import RunLog, new_run_id
from workbench.mcp_tools import Given as GivenMcp
from workbench.mcp_tools import McpTools
from workbench.models import follows, load_engine, loading
from workbench.offered import Offer, offered_tools
from workbench.paths import log_path
from workbench.reading import Readable
from workbench.recall import CONCEPT_TOKENS, CONCEPTS, MORE_TOOLS
from workbench.remembering import LEARN_EVERY, Remembering
from workbench.run_memory import RunMemory
from workbench.steering import HOLDING, Steerable, Steering
from workbench.widget import display_run, mimebundle, with_log
from workbench.worker_settings import Worker, check_names, spread
from workbench.worksheet import read_task
from workbench.writer import RunWriter

if TYPE_CHECKING:
    from hogwild import Engine, Prompting
    from toolsets.chat import Chat
    from workbench.call_values import Pending
    from workbench.calls import Approve, Calls
    from workbench.driver import Driver
    from workbench.edits import Edit
    from workbench.evaluate_problems import Check, Evaluation, Given
    from workbench.rehearsal import Past
    from workbench.replay import Proof
    from workbench.runs_table import Runs

EngineKind = Literal["thread", "process", "auto"]
Breaks = Breakpoint | Mapping[str, Any] | Predicate | Sequence[Breakpoint | Mapping[str, Any] | Predicate]
SETTLE_S = 120.0
"""How long the engine's process may take to learn what it has been shown."""


class Run(Readable, Steerable):
    """One run, from the moment it was asked for. `await run` and `run.answer` wait for its end."""

    in_engine = False
    """Whether an engine's own process does it."""

    def __init__(self, host: Workbench, run_id: str, writer: RunWriter, settings: dict[str, Any], task: str) -> None:
        self.id, self._host, self._writer, self._settings, self._task = run_id, host, writer, settings, task
        self._log = host.log
        self._memory = RunMemory(
            host.library, settings, host.model, host.learning, chosen=host.chosen, unsafe=host.unsafe_tools
        )
        self._done = threading.Event()
        self._wishes: deque[Callable[[Driver], None]] = deque()
        names = (settings.get("prompting") or {}).get("names", NAMES)
        self._at_start: list[Callable[[Driver], None]] = []
        self._steering = Steering(
            list(names[: settings["workers"]]), self._wish, self._check_pending, self._read_edit,
            lambda: self._calls.tools if self._calls is not None else None,
        )  # fmt: skip
        self._final: ev.RunFinished | None = None
        self._error: WorkbenchError | None = None
        self._calls: Calls | None = None
        self._past: Past | None = None
        self._parent: ev.Origin | None = None

    @property
    def status(self) -> str:
        """running, or how it ended: solved, unanswered, stopped, failed."""
        return self._final.status if self._final else "running"

    @property
    def answer(self) -> str:
        """Waits for the end. Raises WorkbenchError if the run failed."""
        return self._finished().answer

    @property
    def items(self) -> list[ev.AnsweredItem]:
        """Waits for the end; the worksheet's questions with answer and worker."""
        return self._finished().items

    @property
    def metrics(self) -> ev.Metrics:
        """Waits for the end; steps, wall_s, tokens_per_s, cache_tokens, calls, workers."""
        return self._finished().metrics

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the run has ended."""
        return self._done.wait(timeout_s)

    def __await__(self) -> Generator[Any, None, Run]:
        yield from asyncio.to_thread(self._done.wait).__await__()
        self._finished()
        return self

    @property
    def results(self) -> Mapping[str, Any]:
        """What its calls returned so far, whole, by the names that the log gives them: `run.results["c1"]`."""
        return self._calls.results() if self._calls is not None else {}

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The calls that wait for a person's word: each has a `call` for `approve` and `reject`, and its arguments."""
        return self._calls.pending() if self._calls is not None and not self._done.is_set() else ()

    @property
    def breakpoints(self) -> dict[str, Breakpoint]:
        """Where it is to pause by itself, by the names that `break_at` gave."""
        return dict(self._steering.breakpoints)

    def break_when(self, predicate: Predicate, *, by: str = "") -> str:
        """Let the run pause when a function of an event says so: `run.break_when(lambda event: event.kind == "...")`.

        It is called in the engine's thread with every event from now on, so keep it quick; its process must be the
        run's own. Returns the breakpoint's name, for `remove_breakpoint`.
        """
        if self._done.is_set():
            raise UsageError(f"Run {self.id} has ended ({self.status}): there is nothing to pause.")
        return str(self._steering.break_at(Breakpoint(when=predicate), by=by)["breakpoint"])

    def command(self, name: str, arguments: Mapping[str, Any], *, key: str = "", by: str = "") -> dict[str, Any]:
        """A command by its name, as REST and buttons send it; raises UsageError."""
        if self._done.is_set() and name not in HOLDING and not self._steering.answered(key):
            raise UsageError(f"Run {self.id} has ended ({self.status}): there is nothing to steer.")
        return self._steering.command(name, arguments, key, by)

    def fork(self, step: int | None = None, **changes: Any) -> Run:
        """A new run that begins as this one was after a step, by default its last; see `Workbench.fork`."""
        self._flush()
        return self._host.fork(self.id, step, **changes)

    def prove(self) -> Proof:
        """Replay the run as the log has it: does the model choose every token again? Raises ReplayError."""
        self._flush()
        return self._host.prove(self.id)

    def _check_pending(self, call: str) -> None:
        if self._done.is_set() or self._calls is None:
            raise UsageError(f"Call {call} waits for nobody's word: its run is not going on.")
        self._calls.check_pending(call)

    def _read_edit(self, call: str, arguments: Any) -> Edit | None:
        assert self._calls is not None
        return self._calls.read_edit(call, arguments)

    def _flush(self) -> None:
        if not self._done.is_set():
            self._writer.flush()

    def _wish(self, what: Callable[[Driver], None]) -> None:
        if not self._done.is_set():
            self._wishes.append(what)
            self._host._wake()

    def _finished(self) -> ev.RunFinished:
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._final is not None
        return self._final

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.status}>"

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return with_log(mimebundle(self), self.id, self._log.path, in_kernel=True)

    def _ipython_display_(self, **_: Any) -> None:
        display_run(self, self._repr_mimebundle_())


class Workbench:
    """Runs on one model. The model is loaded with the first run, in a thread of its own; `close` ends that thread.

    model: embedded, a directory, or a hub id. workers: how many, or a list of names and of `Worker("Alice",
    temperature=0.2, tools=[...], instruction="...")`. layout: contiguous, interleaved, combined,
    independent. max_tokens: per worker; max_run_tokens: of all together. temperature: 0 is greedy; seed: of what is
    random elsewhere. attention: log how much each worker looks at each block. data_dir: where the run log lies.
    device: cpu, cuda, or auto, which spreads layers over all GPUs. dtype: auto, float32, bfloat16 or float16.
    tensor_parallel: share the model out among so many processes, each with a GPU of its own (docs/big_models.md).
    tools: functions, tools, names of tools of the standard set or of the library, or a list or mapping of them;
    "standard" is the whole standard set; by default the built-in ones. front: the grammar that calls are written in, by
    default the model's own. prompting: the words that stand in front of the workers, and their names: a
    `hogwild.Prompting`, or a mapping with the fields that differ from the model's own, such as {"rules": "..."}.
    engine: "thread" works in this process; "process" in one of the engine's own, started where there is none, so that
    runs go on when this process ends; "auto" in that process where there is one already. If left out: "process" in a
    notebook of a JupyterLab that has the workbench's extension, unless something else that is given here works in this
    process only (tools, mcp, unsafe_tools, chat) or data_dir names another log; "thread" everywhere else.
    guided_calls: a worker that writes a call can only name tools that are offered, and their parameters; for calls that
    are JSON between tags. answer: the form of the answer, which `Run.value` then has: a type (int, list[str], a
    dataclass), or a JSON Schema; where one worker gives the answer, it can write nothing else. async_tools: workers go
    on writing while their calls run. approve: what becomes of a call whose tool needs a person's word: "ask" waits for
    `Run.approve`, "all" runs it, "none" does not. policy: limits for calls whose tool says nothing of its own.
    unsafe_tools: names of tools whose code, from a model or an import, you let run where this machine cannot isolate
    it. mcp: a file of MCP servers, or what would stand in it, whose tools are offered too.
    memory: none, fixed (what the library has active is offered where it fits a task) or continual (the library also
    learns from each run). concepts, concept_tokens: how many concepts the prompt may have in full, and their length in
    tokens; more_tools: how many tools of the library may be offered. learn_every: after how many runs a continual
    memory is updated. chat: a model that selects and abstracts concepts, such as a `toolsets.endpoint.ChatEndpoint`;
    without one it is done by wording.
    """

    def __init__(
        self,
        model: str | Path = "embedded",
        workers: int | Sequence[Worker | str | Mapping[str, Any]] = 2,
        layout: str = "contiguous",
        seed: int = 0,
        max_tokens: int | None = None,
        data_dir: str | Path | None = None,
        attention: bool = False,
        *,
        max_run_tokens: int | None = None,
        temperature: float = 0.0,
        device: str = "cpu",
        dtype: str = "auto",
        tensor_parallel: int = 1,
        tools: Offer = None,
        front: str | None = None,
        prompting: Prompting | Mapping[str, Any] | None = None,
        guided_calls: bool = True,
        async_tools: bool = False,
        answer: Any = None,
        approve: Approve = "ask",
        policy: CallPolicy | None = None,
        unsafe_tools: Collection[str] = (),
        mcp: GivenMcp | None = None,
        memory: str = "fixed",
        concepts: int = CONCEPTS,
        concept_tokens: int = CONCEPT_TOKENS,
        more_tools: int = MORE_TOOLS,
        learn_every: int = LEARN_EVERY,
        chat: Chat | None = None,
        engine: EngineKind | None = None,
    ) -> None:
        model = _model_name(model)
        self.model, self.device, self.dtype, self.tensor_parallel = model, device, dtype, tensor_parallel
        if tensor_parallel > 1 and follows():
            load_engine(model, device, dtype, tensor_parallel)  # does not come back
        own = tools is not None or mcp is not None or bool(unsafe_tools) or chat is not None
        if engine is None:
            engine = "thread" if own or data_dir is not None else cast(EngineKind, default_kind())
        if engine != "thread" and Path(model).is_dir():
            self.model = model = str(Path(model).absolute())  # another process stands in another folder
        # A tool, or a cell, may stand in another folder later.
        self._data_dir = None if data_dir is None else Path(data_dir).expanduser().absolute()
        self._process = _process(engine, model, self._data_dir, own=own)
        self.chosen = tools not in (None, "builtin", ["builtin"])
        self.unsafe_tools = frozenset([unsafe_tools] if isinstance(unsafe_tools, str) else unsafe_tools)
        self.library = Libraries(self._data_dir)
        self.library.model = (model, device, dtype)
        self.learning = Remembering(lambda: self.library, chat, every=learn_every)
        self.offered = offered_tools(tools, self._from_library)
        self._mcp = None if mcp is None else McpTools(mcp)
        self.settings: dict[str, Any] = {
            "workers": workers,
            "worker_settings": None,
            "layout": layout,
            "seed": seed,
            "max_tokens": max_tokens,
            "max_run_tokens": max_run_tokens,
            "temperature": temperature,
            "attention": attention,
            "front": front,
            "prompting": prompting,
            "guided_calls": guided_calls,
            "async_tools": async_tools,
            "answer": answer,
            "approve": approve,
            "policy": policy,
            "memory": memory,
            "concepts": concepts,
            "concept_tokens": concept_tokens,
            "more_tools": more_tools,
        }
        self.settings = spread(self.settings)
        run_settings.check(self.settings)
        self.log = RunLog(log_path(self._data_dir) if self._data_dir is not None else None)
        self._engine: Engine | None = None
        self._loading = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: list[Run] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pid = os.getpid()
        self._news = False

    @property
    def tools(self) -> Tools:
        """The library's tools, to search, look at and change."""
        return self.library.tools

    @property
    def concepts(self) -> Concepts:
        """The library's concepts, likewise; what runs that have ended taught is in it."""
        self.learning.settle()
        if self._process is not None and self._process.place.is_held():
            self._process.call("settle", SETTLE_S)
        return self.library.concepts

    @property
    def runs(self) -> Runs:
        """The runs of the log, the newest first, as a table of figures: `bench.runs.where(status="solved")`."""
        from workbench.runs_table import Runs

        return Runs.of(self.log)

    def learn_concepts(self, *runs: str) -> Proposal:
        """Concepts that these runs teach, by default all that were solved: to be looked at, then `apply`."""
        from workbench.remembering import propose

        return propose(self.library, self.log, [self.log.find(run) for run in runs] or None, self.learning.chat)

    def learn_tools(self, *runs: str) -> Rows:
        """Composite tools that recur in these runs, by default in all that were solved, as proposed rows."""
        from workbench.learning import learn_tools

        learnt = learn_tools(self.log, self.library.library, [self.log.find(run) for run in runs] or None)
        return Rows(tuple(self.tools.show(row.row_id) for row in learnt.rows))

    def run(self, task: str, *, break_at: Breaks = (), **overrides: Any) -> Run:
        """Start a run and return its handle at once. Overrides, for this run only: any of the settings above that do
        not belong to the model or the workbench itself; an unknown one is refused with the list of those there are.

        break_at: where it is to pause by itself, as in `Run.break_at`: `{"tool": "gcd"}`, a `Breakpoint`, a function of
        an event, or a list of these.
        """
        breaks = breakpoints_of(break_at)
        unknown = sorted(set(overrides) - set(self.settings))
        if unknown:
            raise UsageError(f"A run has no setting '{unknown[0]}'; it has {', '.join(self.settings)}.")
        settings = spread({**self.settings, **overrides})
        if "workers" in overrides and settings["worker_settings"] is self.settings["worker_settings"]:
            settings["worker_settings"] = None  # it is set for the workers of other runs
        if isinstance(settings["policy"], Mapping):  # as JSON has it
            settings["policy"] = run_settings.policy(settings["policy"])
        run_settings.check(settings)
        if settings["prompting"] is not None:
            settings["prompting"] = run_settings.words(settings["prompting"])
        all_tools_are_known = self._mcp is None and (settings["memory"] == "none" or not settings["more_tools"])
        if all_tools_are_known:
            names = (settings["prompting"] or {}).get("names", NAMES)[: settings["workers"]]
            check_names(settings["worker_settings"], names, self.offered)
        if (form := form_of(settings["answer"])) is not None:
            settings["answer"] = form.schema
        read_task(task)
        self._check_open()
        if self._process is not None:
            self._start_process()
            sent = run_settings.sendable(settings) | sendable(breaks)
            run_id = self._process.call("start", task=task, settings=sent)["run_id"]
            run = cast(Run, RemoteRun(run_id, self.log, self._process))  # the same face
        else:
            run_id = new_run_id()
            run = Run(self, run_id, self.log.open_run(run_id, task, self.model), settings, task)
            run._at_start = [run._steering.named(what)[1] for what in breaks]
        run._form = form
        return run if self._process is not None else self._begin(run)

    def fork(
        self,
        run_id: str,
        step: int | None = None,
        *,
        say: str = "",
        worker: str | None = None,
        replace: Mapping[str, str] | None = None,
        sampling: Mapping[str, Any] | None = None,
        without_tools: Sequence[str] = (),
        seed: int | None = None,
        break_at: Breaks = (),
    ) -> Run:
        """A new run that begins as the run `run_id` was after a step, by default its last, and goes on with a change.

        say: your words, in the block of `worker`, by default the first. replace: by worker, what stands in the place of
        what it has written since it was last given something. sampling: as in `Run.set_sampling`. without_tools: calls
        of these fail from here on, and guided calls cannot name them. seed: all random numbers begin again. break_at:
        where it is to pause besides the breakpoints that the run had at that step, which the new one has, too. Calls
        that were made are not made again.
        """
        breaks = breakpoints_of(break_at)
        tools = [without_tools] if isinstance(without_tools, str) else without_tools
        given: dict[str, Any] = {"say": say, "worker": worker, "replace": replace or {}, "sampling": sampling or {}}
        given |= {"without_tools": tools, "seed": seed}
        run_settings.check_fork(step, given)
        parent = self.log.find(run_id)
        self._check_open()
        if self._process is not None:
            self._start_process()
            told = self._process.call("fork", run_id=parent, step=step, changes=given | sendable(breaks))
            return cast(Run, RemoteRun(told["run_id"], self.log, self._process, told["since"]))
        with loading():
            from workbench.going_on import forked
            from workbench.rehearsal import Changes

        changes = Changes(say, worker, dict(replace or {}), dict(sampling or {}), tuple(tools), seed)
        run = forked(self, parent, step, changes)
        for what in breaks:
            run._steering.break_at(what)
        return self._begin(run)

    def evaluate(
        self,
        problems: Given,
        *,
        check: Check | None = None,
        at_once: int = 4,
        progress: Callable[[int], object] = lambda _: None,
        **overrides: Any,
    ) -> Evaluation:
        """Solve problems with known answers, each in a run of its own, and say how many came out right.

        problems: a .csv or .jsonl file with the fields question and answer, or pairs of these. check: judges a run that
        has ended, by the run and its problem: True, False, or a score from 0 to 1; by default answers are compared by
        value. at_once: so many runs at the same time. progress: told how many are done. Overrides as in `run`; calls
        that ask for a person's word are not executed, unless you give `approve`.
        """
        from workbench.evaluate_problems import evaluate, problems_of

        return evaluate(self, problems_of(problems), check, at_once, progress, overrides)

    def attach(self, run_id: str) -> Run:
        """A handle of a run that is there already: in the engine's process, to go on watching and steering it (after a
        restart of the kernel, say), or ended in the log. Where another process does it, it can be watched."""
        found = self.log.find(run_id)
        return cast(Run, RemoteRun(found, self.log, EngineClient(self.log.summary(found).model, self._data_dir)))

    def resume(self, run_id: str) -> Run:
        """Go on with a run that was interrupted, from the last event of its log. A call that was running is begun again
        if it only reads; one that changes something is not, and its worker is told so."""
        found = self.log.find(run_id)
        self._check_open()
        if self._process is not None:
            self._start_process()
            told = self._process.call("resume", run_id=found)
            return cast(Run, RemoteRun(told["run_id"], self.log, self._process, told["since"]))
        with loading():
            from workbench.going_on import resumed

        return self._begin(resumed(self, found))

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("This workbench is closed; make a new one.")
        if os.getpid() != self._pid:  # a fork of a process has its memory, and none of its threads
            raise UsageError(
                "This workbench belongs to the process that this one was forked from; make a new one here."
            )

    def _start_process(self) -> None:
        """Start the engine where it does not run; where nobody asks for a device, one that runs is taken as it is."""
        assert self._process is not None
        device, dtype = (None if self.device == "cpu" else self.device), (None if self.dtype == "auto" else self.dtype)
        self._process.start(device, dtype, self.tensor_parallel if self.tensor_parallel > 1 else None)

    def _begin(self, run: Run) -> Run:
        run._memory.search(run._task, self._wake)
        with self._changed:
            self._waiting.append(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-engine", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return run

    def prove(self, run_id: str) -> Proof:
        """Replay a run of the log, and compare every token that its workers chose; raises ReplayError."""
        from workbench.replay import Proof, prove

        if self._process is not None:
            self._start_process()
            return Proof.from_json(self._process.call("prove", PROVE_S, run_id=self.log.find(run_id)))
        events = self.log.events(self.log.find(run_id))
        named = next((one.payload.model for one in events if isinstance(one.payload, ev.RunStarted)), self.model)
        return prove(events, self.loaded() if named == self.model else None)

    def loaded(self) -> Engine:
        """The model of this workbench, loaded when it is first needed; for any thread."""
        with self._loading:
            if self._engine is None or self._engine.ranks.over:
                self._engine = load_engine(self.model, self.device, self.dtype, self.tensor_parallel)
            return self._engine

    def close(self) -> None:
        """Stop what still runs and end the engine's thread; an engine's own process goes on, with its runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.learning.close()
        self.library.close()
        if self._mcp is not None:
            self._mcp.close()
        if self._engine is not None:
            self._engine.close()

    def _from_library(self, name: str) -> Tool:
        """An active tool of the library; its code, if it is not built in, runs in the sandbox."""
        from toolsets.shelf import tools_of

        try:
            (tool,) = tools_of(self.library.library, [name], unsafe=self.unsafe_tools).values()
        except ToolsetError as error:
            raise UsageError(str(error)) from error
        return tool

    def offered_now(self) -> dict[str, Tool]:
        """The tools of a run that begins now; the first call starts the MCP servers."""
        return {**self.offered, **(self._mcp.tools() if self._mcp is not None else {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def _work(self) -> None:
        """The engine's thread."""
        from workbench.host import Host

        Host(self).work()


def _model_name(model: str | Path) -> str:
    if not isinstance(model, str | Path):
        raise UsageError(f"The model must be a name or a directory; it is {model!r:.60}.")
    return str(model)


def _process(kind: EngineKind, model: str, data_dir: Path | None, *, own: bool) -> EngineClient | None:
    """The engine's process, where runs are to work in it; raises UsageError for what only this process has."""
    if kind not in get_args(EngineKind):
        raise UsageError(f"engine must be one of {', '.join(get_args(EngineKind))}; it is {kind!r}.")
    if kind == "thread" or (kind == "auto" and own):
        return None
    if own:
        raise UsageError(
            'Tools of your own, MCP servers and a chat model work in this process only: use engine="thread".'
        )
    client = EngineClient(model, data_dir)
    return client if kind == "process" or client.status()["state"] in ("ready", "busy") else None
