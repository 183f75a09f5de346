"""Your own problems, each solved by a run of the log and judged: `Workbench.evaluate` and `workbench eval problems`.

In: a workbench, problems with known answers, settings. Out: an `Evaluation`: a row for each problem, with the run that
solved it, and the share that came out right with its interval. Neighbours: `session` does the runs;
`toolsets.making.problems` reads the same files for `tools build`, and `toolsets.making.answers` says when two answers
are the same; `memory.effects` compares two evaluations pair by pair.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memory.effects import Effect, Trial, effect_of
from toolsets.annotations import literal
from toolsets.making.answers import same_answer
from toolsets.making.problems import Problem, read_problems
from workbench import static_view
from workbench.errors import UsageError, WorkbenchError
from workbench.intervals import Interval, share
from workbench.visible import one_line, visible
from workbench.worksheet import read_task

if TYPE_CHECKING:
    from workbench.session import Run, Workbench

Given = str | Path | Iterable[Problem | Mapping[str, Any] | tuple[str, Any]]
Check = Callable[["Run", Problem], bool | float]
"""Judges a run that has ended: right or wrong, or a score from 0 to 1."""
HEADS: Final = ("problem", "expected", "answer", "score", "run", "steps", "tokens", "s")
MOST_SHOWN: Final = 200
_CELL: Final = 60


@dataclass(frozen=True, slots=True)
class Judged:
    """One problem and its run. tokens: that workers wrote; wall_s: beside the other runs of the evaluation; error: why
    the run or the check failed."""

    question: str
    expected: str
    answer: str
    score: float
    run: str
    status: str
    steps: int
    tokens: int
    calls: int
    wall_s: float
    error: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        texts = [one_line(text, _CELL) for text in (self.question, self.expected, self.error or self.answer)]
        figures = (f"{self.score:g}", self.run, str(self.steps), str(self.tokens), f"{self.wall_s:.1f}")
        return (*texts, *figures)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model and its settings did on problems; iterating gives the rows."""

    rows: tuple[Judged, ...]
    settings: Mapping[str, Any]
    """Those that were given for this evaluation."""

    @property
    def right(self) -> Interval:
        """The share of problems that came out right (a score of 1), and its 95 % interval."""
        return share(sum(row.score >= 1 for row in self.rows), len(self.rows))

    @property
    def wrong(self) -> tuple[Judged, ...]:
        return tuple(row for row in self.rows if row.score < 1)

    def against(self, other: Evaluation) -> Effect:
        """This one against another of the same problems, pair by pair: did these settings help or hurt?"""
        theirs = {(row.question, row.expected): row.score for row in other.rows}
        pairs = [
            Trial("", "", row.question, 0.0, row.score, theirs[row.question, row.expected])
            for row in self.rows
            if (row.question, row.expected) in theirs
        ]
        effect = effect_of(pairs)
        if effect is None:
            raise UsageError("The two evaluations have no problem in common: evaluate the same ones.")
        return effect

    def to_json(self) -> dict[str, Any]:
        """Shares in 0..1; steps, tokens, calls and wall_s as means of a problem."""
        value, low, high = self.right
        count = len(self.rows)
        means = {name: sum(getattr(row, name) for row in self.rows) / count for name in ("steps", "tokens", "calls")}
        return {
            "problems": count,
            "right": round(value, 4),
            "interval": [round(low, 4), round(high, 4)],
            "score": round(sum(row.score for row in self.rows) / count, 4),
            "failed": sum(bool(row.error) for row in self.rows),
            **{name: round(mean, 2) for name, mean in means.items()},
            "wall_s": round(sum(row.wall_s for row in self.rows) / count, 3),
            "rows": [asdict(row) for row in self.rows],
        }

    @property
    def summary(self) -> str:
        """In a sentence."""
        told = self.to_json()
        low, high = told["interval"]
        failed = f", {told['failed']} failed" if told["failed"] else ""
        return (
            f"{told['right']:.3f} right ({low:.3f} to {high:.3f}; n = {told['problems']}{failed}), "
            f"{_mean(told['steps'], 'step')}, {_mean(told['tokens'], 'token')} "
            f"and {_mean(told['calls'], 'call')} a problem"
        )

    def __iter__(self) -> Iterator[Judged]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        more = f"\n{len(self) - MOST_SHOWN} more rows" if len(self) > MOST_SHOWN else ""
        return f"{static_view.table_text(HEADS, [row.cells for row in self.rows[:MOST_SHOWN]])}{more}\n{self.summary}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = static_view.table_html(HEADS, [row.cells for row in self.rows[:MOST_SHOWN]])
        more = f"{len(self) - MOST_SHOWN} more rows. " if len(self) > MOST_SHOWN else ""
        return f"{table}{static_view.preformatted(more + self.summary)}"


class Interrupted(KeyboardInterrupt):
    """An evaluation was interrupted; `evaluation` has the problems that were solved until then."""

    def __init__(self, evaluation: Evaluation, problems: int) -> None:
        super().__init__(f"Interrupted after {len(evaluation)} of {problems} problems; their runs are in the log.")
        self.evaluation = evaluation


def problems_of(given: Given) -> list[Problem]:
    """Problems from a file (.csv or .jsonl with question and answer) or from values; raises UsageError."""
    if isinstance(given, str | Path):
        return read_problems(Path(given).expanduser())
    found = [_problem(one) for one in given]
    if not found:
        raise UsageError("There are no problems: give at least one question with its answer.")
    return found


def evaluate(
    bench: Workbench,
    problems: list[Problem],
    check: Check | None,
    at_once: int,
    progress: Callable[[int], object],
    settings: Mapping[str, Any],
) -> Evaluation:
    """Solve them, `at_once` at the same time, in their order. An interruption stops the runs that go on, and is raised
    as `Interrupted` where there are some rows."""
    if not isinstance(at_once, int) or at_once < 1:
        raise UsageError(f"at_once must be 1 or more; it is {at_once!r:.60}.")
    tasks = [f"{problem.text}\n\n{problem.table}" if problem.table else problem.text for problem in problems]
    for task in tasks:
        read_task(task)
    how = dict(settings)
    if bench.settings["approve"] == "ask":  # nobody watches so many runs
        how.setdefault("approve", "none")
    rows: list[Judged] = []
    active: deque[tuple[Problem, Run]] = deque()
    try:
        for problem, task in zip(problems, tasks, strict=True):
            if len(active) == at_once:
                rows.append(_judged(bench, *active[0], check or is_right))
                active.popleft()
                progress(len(rows))
            active.append((problem, bench.run(task, **how)))
        while active:
            rows.append(_judged(bench, *active[0], check or is_right))
            active.popleft()
            progress(len(rows))
    except KeyboardInterrupt as stopped:
        if not rows:
            raise
        raise Interrupted(Evaluation(tuple(rows), dict(settings)), len(problems)) from stopped
    finally:
        for _, run in active:
            run.stop()
    return Evaluation(tuple(rows), dict(settings))


def is_right(run: Run, problem: Problem) -> bool:
    """Whether the answer is the known one, by value. Of a worksheet of several items the known answer is a list, with
    one for each."""
    given = [item["answer"] for item in run.items]
    if len(given) < 2:
        return same_answer(given[0] if given else run.answer, problem.answer)
    try:
        expected = literal(problem.answer)
    except ValueError:
        return same_answer(run.answer, problem.answer)
    if not isinstance(expected, list | tuple) or len(expected) != len(given):
        return False
    return all(map(same_answer, given, expected))


def holds(run: Run, problem: Problem) -> bool:
    """Whether the answer holds the known one as whole words, whatever stands around it."""
    known, answer = (" ".join(text.lower().split()) for text in (problem.answer, run.answer))
    return re.search(rf"(?<!\w){re.escape(known)}(?!\w)", answer) is not None


def _judged(bench: Workbench, problem: Problem, run: Run, check: Check) -> Judged:
    run.wait()
    summary, error, score, calls, wall_s = bench.log.summary(run.id), "", 0.0, 0, 0.0
    try:
        metrics = run.metrics
        calls, wall_s = metrics["calls"], metrics["wall_s"]
        score = _score(check(run, problem))
    except WorkbenchError as failed:
        error = str(failed)
    except Exception as failed:  # a person's own check: it costs its problem, not the others
        error = f"The check failed: {type(failed).__name__}: {failed}"
    return Judged(
        problem.text, problem.answer, summary.answer, score, run.id, summary.status, summary.steps, summary.tokens,
        calls, wall_s, visible(error),
    )  # fmt: skip


def _mean(mean: float, thing: str) -> str:
    return f"{mean:g} {thing}" if mean == 1 else f"{mean:g} {thing}s"


def _score(value: bool | float) -> float:
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    raise UsageError(f"A check gives True, False, or a score from 0 to 1; it gave {value!r:.60}.")


def _problem(given: Problem | Mapping[str, Any] | tuple[str, Any]) -> Problem:
    if isinstance(given, Problem):
        return given
    if isinstance(given, Mapping):
        given = (given.get("question", ""), given.get("answer"))
    if not isinstance(given, tuple | list) or len(given) != 2 or not isinstance(given[0], str) or not given[0].strip():
        raise UsageError(f"A problem is a question and its answer, such as ('What is 2 + 2?', 4); it is {given!r:.60}.")
    question, answer = given
    if answer is None or not str(answer).strip():
        raise UsageError(f"The problem {one_line(question, _CELL)!r} has no answer to judge by: give one.")
    try:
        told = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    except (TypeError, ValueError):
        told = str(answer)
    return Problem(question.strip(), told.strip())
