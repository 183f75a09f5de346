"""What a library does to worksheets: with it against without it, the same worksheets, pair by pair.

In: a model, held-out seeds, a library. Out: for `workbench eval worksheets --memory`, a report with and without the
memory and the difference with its interval; for `ablate`, the same for single rows, kept in the library. A continual
memory learns from each batch of worksheets what the runs knew themselves, never the right answers, and does so in a
copy: an evaluation changes nobody's library. Neighbours: `evaluate` plays, `recall` chooses, `remembering` learns,
`memory.effects` compares.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hogwild.embedded.worksheets import Worksheet, make_worksheet
from hogwild.prompting import NAMES, SHARED_WORKSPACE, Prompting
from memory.effects import Effect, effect_of
from memory.effects import Trial as Pair
from memory.ranking import Hit
from memory.retrieval import Found as RowFound
from memory.store import FILE_NAME
from memory.values import Row
from toolsets.chat import Chat
from toolsets.tool import Tool
from workbench.errors import UsageError
from workbench.evaluate import AT_ONCE, Score, Trial, play, report_of
from workbench.experience import experiences_of
from workbench.libraries import Libraries
from workbench.models import load_engine
from workbench.recall import Found, Wanted, find, prepare
from workbench.remembering import Remembering
from workbench.run_memory import token_counter

if TYPE_CHECKING:
    from hogwild import Engine
    from memory.embedder import Embedder

Progress = Callable[[int], None]
_WITHOUT: Final = Found()


def evaluate_memory(
    engine: Engine,
    seeds: range,
    memory: str,
    *,
    workers: int = 2,
    layout: str = "contiguous",
    items: tuple[int, int] = (4, 6),
    data_dir: Path | None = None,
    embedder: Embedder | None = None,
    chat: Chat | None = None,
    batch: int = AT_ONCE,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """The report with the memory, `without` it, and `effect`. memory: fixed or continual. batch: worksheets after which
    a continual memory is updated."""
    began = time.perf_counter()
    sheets = [make_worksheet(seed, "held_out", num_items=items, all_tools=True) for seed in seeds]
    plain = list(play(engine, [Trial(sheet, workers, layout) for sheet in sheets], progress))
    half = time.perf_counter() - began
    scores: list[Score] = []
    with _library(memory, data_dir, embedder) as home:
        learning = Remembering(lambda: home, chat, every=batch)
        for start in range(0, len(sheets), batch):
            part = sheets[start : start + batch]
            trials = [_remembering(engine, home, sheet, workers, layout, learning, memory) for sheet in part]
            base = len(plain) + len(scores)
            scores += play(engine, trials, lambda done, base=base: progress(base + done))  # type: ignore[misc]
            learning.settle()
        learning.close()
        known = len(home.library.rows("concept", states=("active",))) if home.exists else 0
    report = report_of(scores, time.perf_counter() - began - half)
    effect = effect_of(pairs_of("", "", "", scores, plain))
    return {
        "memory": memory,
        **report,
        "concepts_known": known,
        "without": report_of(plain, half),
        "effect": effect.to_json() if effect is not None else None,
    }


def ablate(
    engine: Engine,
    home: Libraries,
    rows: Sequence[Row],
    trials: Sequence[Trial],
    case: str,
    *,
    progress: Progress = lambda _: None,
) -> Iterator[tuple[Row, Effect]]:
    """For each row, what it does to these worksheets: each is played with the row in the prompt, and without it, with
    whatever else of the library fits it. The pairs are kept with the row's present content. case: names the set."""
    done = 0
    found = {trial.sheet.seed: find(home, _questions(trial.sheet), Wanted()) for trial in trials}
    for row in rows:
        both: list[list[Score]] = []
        for given in (True, False):
            played = [
                _given(engine, home, trial, _found(found[trial.sheet.seed], row, given=given)) for trial in trials
            ]
            both.append(list(play(engine, played, lambda count, base=done: progress(base + count))))  # type: ignore[misc]
            done += len(trials)
        settings = f"{engine.fingerprint[:12]}/{case}/{trials[0].workers if trials else 0}"
        pairs = pairs_of(row.row_id, row.snapshot.content_hash, settings, *both)
        home.library.record_trials(pairs)
        effect = home.library.effect(row.row_id)
        if effect is not None:
            yield row, effect


@dataclass(frozen=True, slots=True)
class Ablated:
    """What one row was found to do."""

    id: str
    name: str
    version: int
    effect: Effect

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "version": self.version, **self.effect.to_json()}

    def __str__(self) -> str:
        return f"{self.name} ({self.id}) {self.effect}"

    __repr__ = __str__


def ablate_on(
    home: Libraries, rows: Sequence[Row], worksheets: str, seeds: range, *, model: str | None, progress: Progress
) -> Iterator[Ablated]:
    """`ablate` on the worksheets of a set with these seeds, by the library's model or another."""
    from workbench.evaluate_sets import SETS

    if worksheets not in SETS:
        raise UsageError(f"There is no set '{worksheets}'; choose one of {', '.join(SETS)}.")
    if not seeds:
        raise UsageError("There are no seeds to make worksheets of: give a range such as range(0, 20).")
    trials = [SETS[worksheets].cases[0].trial(seed) for seed in seeds]
    own, device, dtype = home.model
    engine = load_engine(model or own, device, dtype)
    for row, effect in ablate(engine, home, rows, trials, worksheets, progress=progress):
        yield Ablated(row.row_id, row.name, row.version, effect)


def pairs_of(
    row_id: str, content_hash: str, settings: str, given: Sequence[Score], without: Sequence[Score]
) -> list[Pair]:
    """The same worksheets with and without, as pairs; a score is the share of a worksheet's items that are right."""
    plain = {score.seed: score for score in without}
    return [
        Pair(row_id, content_hash, f"{settings}/{one.seed}", time.time(), _share(one), _share(plain[one.seed]))
        for one in given
    ]


def _share(score: Score) -> float:
    return score.right / score.items if score.items else 0.0


def _remembering(
    engine: Engine, home: Libraries, sheet: Worksheet, workers: int, layout: str, learning: Remembering, memory: str
) -> Trial:
    """A worksheet as a run with this memory would be given it."""
    found = find(home, _questions(sheet), Wanted()) if home.exists else _WITHOUT
    trial = _given(engine, home, Trial(sheet, workers, layout), found)
    if memory != "continual":
        return trial
    return replace(trial, ended=lambda events: learning.take(lambda: experiences_of(events)))


def _given(engine: Engine, home: Libraries, trial: Trial, found: Found) -> Trial:
    """The worksheet with the rows in its prompt and among its tools, beside what it has of its own."""
    base: Mapping[str, Tool] = {tool.name: tool for tool in trial.sheet.tools} if trial.tools is None else trial.tools
    if not found.tools and not found.concepts:
        return trial
    words = Prompting.of_directory(engine.directory) or SHARED_WORKSPACE
    count = token_counter(engine, words, NAMES[: trial.workers])
    recalled = prepare(home, found, base, Wanted(), count_tokens=count)
    own = trial.sheet.concepts if trial.concepts is None else trial.concepts
    return replace(trial, tools=recalled.tools, concepts="\n".join(text for text in (own, recalled.text) if text))


def _found(found: Found, row: Row, *, given: bool) -> Found:
    """What was found, with the row before everything else, or without it."""
    tools = [hit for hit in found.tools if hit.row.row_id != row.row_id]
    concepts = [hit for hit in found.concepts if hit.row.row_id != row.row_id]
    if given:
        (tools if row.kind == "tool" else concepts).insert(0, RowFound(row, Hit(row.row_id, 1.0, 1.0, ())))
    return Found(tuple(tools), tuple(concepts))


def _questions(sheet: Worksheet) -> list[str]:
    return [item.question for item in sheet.items]


@contextmanager
def _library(memory: str, data_dir: Path | None, embedder: Embedder | None) -> Iterator[Libraries]:
    """The person's library; for a memory that learns, a copy of it that is thrown away."""
    with Libraries(data_dir, embedder=embedder) as own:
        if memory != "continual":
            yield own
            return
        with (
            tempfile.TemporaryDirectory(prefix="workbench-") as folder,
            Libraries(Path(folder), embedder=embedder) as copy,
        ):
            if own.exists:
                copy.folder.mkdir(parents=True, exist_ok=True)
                with own.library.reading() as source, closing(sqlite3.connect(copy.folder / FILE_NAME)) as target:
                    source.backup(target)
            yield copy
