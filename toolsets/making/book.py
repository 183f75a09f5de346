"""What a build has done and what it still has to do, read from its records.

In: records. Out: which steps are due at a stage, the solutions and tools so far, and what each stage cost and yielded.
Pure: the same records always say the same. Neighbours: `journal` keeps the records, `build` does what is due.

    choose -> solve <-> check -> abstract <-> validate, siblings -> deduplicate -> propose

An arrow to both sides: what fails a check is written again, with what was wrong, as often as the settings allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from toolsets.chat import Usage
from toolsets.making.journal import Record, Stage
from toolsets.making.replies import Written

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
JUDGES: Final[Mapping[Stage, tuple[Stage, ...]]] = {"solve": ("check",), "abstract": ("validate", "siblings")}
"""Who judges what a model wrote at a stage, in this order."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One stage in numbers. came: how many problems; failed: those without a passed step."""

    stage: Stage
    came: int
    passed: int
    steps: int
    usage: Usage
    wall_s: float

    @property
    def failed(self) -> int:
        return self.came - self.passed

    def json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "came": self.came,
            "passed": self.passed,
            "steps": self.steps,
            "tokens_in": self.usage.tokens_in,
            "tokens_out": self.usage.tokens_out,
            "cost": self.usage.cost,
            "wall_s": round(self.wall_s, 3),
        }


@dataclass(slots=True)
class Book:
    """Records by stage, problem and attempt. tries: how often a model may write one thing."""

    tries: int
    records: dict[tuple[Stage, int, int], Record] = field(default_factory=dict)

    def take(self, records: Iterable[Record]) -> None:
        self.records |= {(one.stage, one.problem, one.attempt): one for one in records}

    def one(self, stage: Stage) -> Record | None:
        """The record of a stage that is done once for the whole build."""
        return self.records.get((stage, -1, 1))

    @property
    def chosen(self) -> list[int]:
        """The problems, in the order in which they were chosen."""
        record = self.one("choose")
        return [] if record is None else list(record.data["chosen"])

    def attempts(self, stage: Stage, problem: int) -> int:
        return max((attempt for kind, number, attempt in self.records if (kind, number) == (stage, problem)), default=0)

    def to_write(self, stage: Stage) -> list[tuple[int, int]]:
        """Problem and attempt of everything that a model has to write now."""
        came = self.chosen if stage == "solve" else [one for one in self.chosen if self.passed("check", one)]
        due = []
        for problem in came:
            last = self.attempts(stage, problem)
            if last == 0 or (last < self.tries and self.failures(stage, problem, last)):
                due.append((problem, last + 1))
        return due

    def to_judge(self, judge: Stage) -> list[tuple[int, int]]:
        """Problem and attempt of everything that this judge has to look at now."""
        writer = next(stage for stage, judges in JUDGES.items() if judge in judges)
        before = (writer, *JUDGES[writer])[JUDGES[writer].index(judge)]
        return [
            (problem, attempt)
            for problem in self.chosen
            if (attempt := self.attempts(before, problem))
            and self.records[before, problem, attempt].passed
            and (judge, problem, attempt) not in self.records
        ]

    def failures(self, stage: Stage, problem: int, attempt: int) -> list[str]:
        """What was wrong with something that a model wrote; empty where nothing was yet."""
        found = (self.records.get((one, problem, attempt)) for one in (stage, *JUDGES[stage]))
        return [record.why for record in found if record is not None and not record.passed]

    def tried(self, stage: Stage, problem: int) -> list[tuple[str, str]]:
        """Replies that failed, each with what was wrong."""
        return [
            (record.data.get("reply", ""), " ".join(why))
            for attempt in range(1, self.attempts(stage, problem) + 1)
            if (record := self.records.get((stage, problem, attempt)))
            and (why := self.failures(stage, problem, attempt))
        ]

    def passed(self, stage: Stage, problem: int) -> Record | None:
        """The last record with which a problem passed a stage; None where the last attempt there did not."""
        record = self.records.get((stage, problem, self.attempts(stage, problem)))
        return record if record is not None and record.passed else None

    def written(self, stage: Stage, problem: int, attempt: int) -> Written:
        """What a model wrote at a passed step."""
        data = self.records[stage, problem, attempt].data
        return Written(data["code"], data["call"], data.get("name", ""))

    def tools(self) -> dict[int, Written]:
        """The tools that passed every judge, by problem, in the order of choice."""
        return {
            problem: self.written("abstract", problem, record.attempt)
            for problem in self.chosen
            if (record := self.passed("siblings", problem)) and record.attempt == self.attempts("abstract", problem)
        }

    def ended(self) -> list[Record]:
        """Of each problem that became no tool, the step that ended it."""
        found = []
        tools = self.tools()
        for problem in self.chosen:
            stage: Stage = "abstract" if self.passed("check", problem) else "solve"
            steps = (self.records.get((one, problem, self.attempts(stage, problem))) for one in (stage, *JUDGES[stage]))
            if problem not in tools:
                found += [step for step in steps if step is not None and not step.passed]
        return found

    def figures(self) -> list[Figures]:
        """Every stage that was reached, in order."""
        return [self._figures(stage) for stage in STAGES if any(kind == stage for kind, _, _ in self.records)]

    def models(self) -> list[str]:
        """Who wrote, as the endpoint calls them."""
        return sorted({str(one.data["model"]) for one in self.records.values() if one.data.get("model")})

    def _figures(self, stage: Stage) -> Figures:
        records = [record for (kind, _, _), record in self.records.items() if kind == stage]
        if (whole := self.one(stage)) is not None:
            came, passed = int(whole.data["came"]), int(whole.data["passed"])
        else:
            problems = {record.problem for record in records}
            came, passed = len(problems), sum(self.passed(stage, problem) is not None for problem in problems)
        usage = sum((record.usage for record in records if record.usage is not None), Usage())
        return Figures(stage, came, passed, len(records), usage, sum(record.wall_s for record in records))
