"""Makes tools from problems: what is due is done, stage by stage, and every step is kept before the next one.

In: a journal, a model that can be asked, a library, an embedding function. Out: proposed rows, and the figures of each
stage. Stopped in any way, the same journal goes on where it was: what was paid for is not asked again, and what was
proposed is not proposed twice. Neighbours: `book` says what is due, `prompts` and `replies` talk to the model,
`checking` and `behaviour` run code in the sandbox. Code that a model wrote runs nowhere else.
"""

from __future__ import annotations

import ast
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from memory.planning import plan_new
from memory.store import Library
from memory.values import STATES, Row, Snapshot
from memory.views import spoken
from toolsets.annotations import code_facts, parsed
from toolsets.chat import Chat, ChatError, Message
from toolsets.making import PARALLEL, TRIES
from toolsets.making.answers import same_answer, same_value
from toolsets.making.behaviour import compare, merge_plan
from toolsets.making.book import JUDGES, Book, Figures
from toolsets.making.checking import LIMITS, Ran, Recorded, run_code_call
from toolsets.making.diverse import farthest_first
from toolsets.making.journal import BuildError, Journal, Record, Stage
from toolsets.making.probes import probes_of
from toolsets.making.prompts import to_abstract, to_solve
from toolsets.making.replies import ReplyRefused, Written, read_solution, read_tool
from toolsets.sandbox import Limits, Sandbox
from toolsets.shelf import shared_sandbox

AUTHOR: Final = "build"
TAG: Final = "made"
MAX_TOKENS: Final = 4096
SIMILAR: Final = 0.8
"""How alike the texts of two tools must be for them to be run on each other's calls."""

# Why a reply without code has none, by what ended it.
_NO_ANSWER: Final = {
    "length": "The reply broke off at the limit of tokens.",
    "tool_calls": "The reply calls a tool, and there is none: write the code as text, in one Python block.",
}

Encode: TypeAlias = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Tell: TypeAlias = Callable[[Record], object]


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a build: the rows that it proposed and that are still in the library, its stages in numbers, and the
    steps at which problems ended that became no tool."""

    build: str
    rows: tuple[Row, ...]
    figures: tuple[Figures, ...]
    ended: tuple[Record, ...]


def build(
    journal: Journal,
    chat: Chat,
    library: Library,
    encode: Encode,
    *,
    sandbox: Sandbox | None = None,
    parallel: int = PARALLEL,
    limits: Limits = LIMITS,
    tell: Tell = lambda record: None,
) -> Built:
    """Do all that is still to be done. encode: texts to vectors of length 1. parallel: how many replies and calls at
    once. tell: gets each step once it is kept. Raises ChatError where the model gives no reply; what was done stays."""
    place = sandbox or shared_sandbox()
    if not place.isolation.isolated:
        raise BuildError(
            f"This machine does not isolate code ({place.isolation}), so what a model writes is not run here: build on "
            "a Linux with Landlock and seccomp."
        )
    return _Builder(journal, chat, library, encode, place, parallel, limits, tell).build()


class _Builder:
    def __init__(
        self,
        journal: Journal,
        chat: Chat,
        library: Library,
        encode: Encode,
        sandbox: Sandbox,
        parallel: int,
        limits: Limits,
        tell: Tell,
    ) -> None:
        self._journal, self._chat, self._library, self._encode = journal, chat, library, encode
        self._sandbox, self._parallel, self._limits, self._tell = sandbox, max(parallel, 1), limits, tell
        self._problems = journal.head.problems
        self._book = Book(int(journal.head.settings.get("tries", TRIES)))
        self._book.take(journal.records)

    def build(self) -> Built:
        if self._book.one("choose") is None:
            self._keep(self._choose())
        for writer in JUDGES:
            while self._write(writer) | self._judge(writer):
                pass
        if self._book.one("deduplicate") is None:
            self._keep(self._deduplicate())
        if self._book.one("propose") is None:
            self._keep(self._propose())
        book = self._book
        return Built(self._journal.head.build, tuple(self._proposed()), tuple(book.figures()), tuple(book.ended()))

    def _keep(self, record: Record) -> None:
        self._journal.append(record)
        self._book.take([record])
        self._tell(record)

    # ------------------------------------------------------------------------------------------------ choosing

    def _choose(self) -> Record:
        began = time.monotonic()
        limit = int(self._journal.head.settings.get("limit") or len(self._problems))
        chosen = farthest_first(self._encode([problem.text for problem in self._problems]), limit)
        data = {"chosen": chosen, "came": len(self._problems), "passed": len(chosen)}
        return Record("choose", -1, 1, True, data=data, wall_s=time.monotonic() - began)

    # ------------------------------------------------------------------------------------------------ writing

    def _write(self, writer: Stage) -> bool:
        """Have everything written that is due at a stage; false where nothing was."""
        jobs = []
        for number, attempt in self._book.to_write(writer):
            problem, tried = self._problems[number], self._book.tried(writer, number)
            if writer == "solve":
                jobs.append(partial(self._asked, writer, number, attempt, to_solve(problem, tried), read_solution))
            else:
                messages = to_abstract(problem, self._solution(number), tried)
                jobs.append(partial(self._asked, writer, number, attempt, messages, read_tool))
        return self._each(jobs)

    def _asked(
        self, stage: Stage, number: int, attempt: int, messages: list[Message], read: Callable[[str], Written]
    ) -> Record:
        reply = self._chat.ask(messages, max_tokens=MAX_TOKENS)
        data = {"reply": reply.text, "model": reply.model}
        try:
            written = read(reply.text)
        except ReplyRefused as error:
            why = _NO_ANSWER.get(reply.finish_reason, str(error))
            return Record(stage, number, attempt, False, why, data, reply.usage, reply.wall_s)
        data |= {"code": written.code, "call": written.call, "name": written.name}
        return Record(stage, number, attempt, True, "", data, reply.usage, reply.wall_s)

    def _solution(self, number: int) -> Written:
        checked = self._book.passed("check", number)
        assert checked is not None
        return self._book.written("solve", number, checked.attempt)

    # ------------------------------------------------------------------------------------------------ judging

    def _judge(self, writer: Stage) -> bool:
        """Have everything judged that is due; false where nothing was."""
        judged = False
        for judge in JUDGES[writer]:
            due = self._book.to_judge(judge)
            judged |= bool(due)
            if judge == "siblings":
                for number, attempt in due:  # one after the other: each is compared with those that have passed
                    self._keep(self._siblings(number, attempt))
            else:
                work = self._check if judge == "check" else self._validate
                jobs = [partial(work, one, attempt, self._book.written(writer, one, attempt)) for one, attempt in due]
                self._each(jobs)
        return judged

    def _check(self, number: int, attempt: int, written: Written) -> Record:
        """Whether a solution gives the answer."""
        return self._judged("check", number, attempt, self._run(written))

    def _validate(self, number: int, attempt: int, written: Written) -> Record:
        """Whether a tool still solves the problem that it was made from, and by work rather than by heart."""
        ran = self._run(written)
        record = self._judged("validate", number, attempt, ran)
        if record.passed and self._by_heart(written, ran, self._problems[number].answer):
            why = f"{written.name} holds the answer in its code and returns it whatever its arguments are."
            return Record("validate", number, attempt, False, why, record.data, wall_s=record.wall_s)
        return record

    def _judged(self, stage: Stage, number: int, attempt: int, ran: Ran) -> Record:
        data = {"value": _shown(ran.value)}
        if ran.error:
            why = f"The code fails: {ran.error.rstrip('.')}."
        elif not same_answer(ran.value, self._problems[number].answer):
            why = f"The call returns {_shown(ran.value)}, which is not the answer."
        else:
            why = ""
        return Record(stage, number, attempt, not why, why, data, wall_s=ran.wall_s)

    def _run(self, written: Written, call: str | None = None) -> Ran:
        return run_code_call(
            written.code, written.name, call or written.call, sandbox=self._sandbox, limits=self._limits
        )

    def _by_heart(self, written: Written, ran: Ran, answer: str) -> bool:
        constants = (node.value for node in ast.walk(parsed(written.code)) if isinstance(node, ast.Constant))
        if not any(same_answer(one, answer) for one in constants):
            return False
        again = [self._run(written, probe.text) for probe in probes_of(Recorded(text=written.call))]
        return bool(again) and all(not one.error and same_value(one.value, ran.value) for one in again)

    def _siblings(self, number: int, attempt: int) -> Record:
        """Whether a tool agrees with all others of its name: those of this build, and those of the library."""
        began = time.monotonic()
        written = self._book.written("abstract", number, attempt)
        mine = self._row(number, written)
        others = [
            (self._row(one, tool), f"the tool for: {self._problems[one].text}")
            for one, tool in self._book.tools().items()
            if tool.name == written.name
        ]
        known = self._library.rows("tool", states=("proposed", "active"), name=written.name)
        others += [(row, "a tool of the library") for row in known]
        why = ""
        for other, whose in others:
            found = compare(other, mine, self._library, sandbox=self._sandbox)
            if not found.alike:
                why = (
                    f"{written.name} is also {whose}. The two do not do the same: {found.differs or 'they differ'}. "
                    "Write one that does both, or choose a name that says the difference."
                )
                break
        data = {"compared": len(others)}
        return Record("siblings", number, attempt, not why, why, data, wall_s=time.monotonic() - began)

    # ------------------------------------------------------------------------------------------------ together

    def _deduplicate(self) -> Record:
        """Tools that do the same become the most general of them, with the problems of all."""
        began = time.monotonic()
        rows = {number: self._row(number, tool) for number, tool in self._book.tools().items()}
        members = {number: [number] for number in rows}
        apart = []
        for first, second in self._pairs(rows):
            one, other = (next(root for root, held in members.items() if number in held) for number in (first, second))
            if one == other:
                continue
            found = compare(rows[one], rows[other], self._library, sandbox=self._sandbox)
            if not found.alike:
                apart.append(found.sentence())
                continue
            kept = merge_plan(found).changes[0]
            keep, gone = (one, other) if kept.row_id == rows[one].row_id else (other, one)
            rows[keep] = Row(kept.row_id, 0, kept.after, 0)
            members[keep] += members.pop(gone)
            del rows[gone]
        tools = [{"content": dict(row.content), "problems": members[number]} for number, row in rows.items()]
        came = sum(map(len, members.values()))
        data = {"tools": tools, "apart": apart[:50], "came": came, "passed": len(tools)}
        return Record("deduplicate", -1, 1, True, data=data, wall_s=time.monotonic() - began)

    def _pairs(self, rows: dict[int, Row]) -> Iterator[tuple[int, int]]:
        """Candidates, the nearest first."""
        if len(rows) < 2:
            return
        numbers = list(rows)
        vectors = self._encode([_about(rows[number]) for number in numbers])
        near = vectors @ vectors.T
        found = [
            (float(near[a, b]), numbers[a], numbers[b])
            for a, b in itertools.combinations(range(len(numbers)), 2)
            if near[a, b] >= SIMILAR or rows[numbers[a]].name == rows[numbers[b]].name
        ]
        yield from ((a, b) for _, a, b in sorted(found, key=lambda one: (-one[0], one[1], one[2])))

    def _propose(self) -> Record:
        """The tools as rows for a person to look at; those whose code the library has in any state are left out."""
        began = time.monotonic()
        record = self._book.one("deduplicate")
        assert record is not None
        rows = self._proposed()
        if not rows:  # else a build that was stopped between proposing and noting that it did
            known = {row.content["code"] for row in self._library.rows("tool", states=STATES)}
            fresh = [self._snapshot(one) for one in record.data["tools"] if one["content"]["code"] not in known]
            if fresh:
                note = f"made by build {self._journal.head.build}"
                self._library.apply(plan_new(fresh), author=AUTHOR, note=note)
            rows = self._proposed()
        data = {"rows": [row.row_id for row in rows], "came": len(record.data["tools"]), "passed": len(rows)}
        return Record("propose", -1, 1, True, data=data, wall_s=time.monotonic() - began)

    def _proposed(self) -> list[Row]:
        rows = self._library.rows("tool", states=STATES)
        return [row for row in rows if row.snapshot.provenance.get("build") == self._journal.head.build]

    # ------------------------------------------------------------------------------------------------ rows

    def _row(self, number: int, written: Written) -> Row:
        problem, solution = self._problems[number], self._solution(number)
        made_from = {"call": written.call, "solution": solution.code, "solution_call": solution.call}
        content = {
            "name": written.name,
            "code": written.code + "\n",
            "effect": "read",
            "problems": [problem.json() | made_from],
            "calls": [],
        }
        return Row(f"problem-{number}", 0, Snapshot("tool", content), 0)

    def _snapshot(self, tool: dict[str, Any]) -> Snapshot:
        numbers = tool["problems"]
        provenance = {
            "source": "build",
            "build": self._journal.head.build,
            "model": ", ".join(self._book.models()),
            "endpoint": self._chat.name,
            "evidence": {
                "problems": len(numbers),
                "solved_again": len(numbers),
                "attempts": sum(self._book.attempts("abstract", number) for number in numbers),
                "merged": len(numbers) - 1,
            },
        }
        return Snapshot("tool", tool["content"], "proposed", (TAG,), provenance)

    # ------------------------------------------------------------------------------------------------ doing

    def _each(self, jobs: Sequence[Callable[[], Record]]) -> bool:
        """Do the jobs, some at once, and keep each as it ends. After the first error no job is begun any more, but
        those that run are waited for and kept: they are paid for. False where there are no jobs."""
        stopped = threading.Event()

        def begun(job: Callable[[], Record]) -> Record | None:
            return None if stopped.is_set() else job()

        problem: ChatError | None = None
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="build")
        try:
            for future in as_completed([pool.submit(begun, job) for job in jobs]):
                try:
                    record = future.result()
                except ChatError as error:
                    stopped.set()
                    problem = problem or error
                    continue
                if record is not None:
                    self._keep(record)
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
        if problem is not None:
            raise problem
        return bool(jobs)


def _about(row: Row) -> str:
    return f"{spoken(row.name)}: {code_facts(row.content['code'], row.name).documentation.summary}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
