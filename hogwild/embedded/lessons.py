"""Turns worksheets into batches for training: laid-out strips and the rows to learn from.

In: seeds and a stage of a curriculum. Out: `Batch`es: strips for the replay, and the packed row of each chosen token.
Below: `worksheets.py`, `world.py`, `script.py`, `hogwild.replay`. Above: `shards.py`, `train.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hogwild.embedded.script import SLIP, STEADY, Encoder, Habits, Lesson, play
from hogwild.embedded.worksheets import Split, Worksheet, make_worksheet
from hogwild.embedded.world import Scope, make_sheet
from hogwild.layouts import LAYOUTS
from hogwild.replay import Packed, Strip, lay_out, pack

KINDS = ("begin", "claim", "restate", "call", "answer", "conclude", "review", "withdraw", "joint", "other")


@dataclass(frozen=True)
class Sheets:
    """Worksheets of one sort, and how often they come. scope None: single calls, by `make_worksheet`. crowd: they need
    at least four workers. habits: what may go wrong while they are solved."""

    weight: float
    scope: Scope | None = None
    items: tuple[int, int] = (2, 7)
    renamed: float = 0.2
    crowd: bool = False
    habits: Habits = STEADY


@dataclass(frozen=True)
class Stage:
    """One part of a curriculum: until which share of the training, with which workers, layouts and worksheets."""

    until: float
    workers: dict[int, float]
    layouts: dict[str, float]
    sheets: tuple[Sheets, ...]


LAYOUT_SHARES = {"contiguous": 0.76, "combined": 0.14, "interleaved": 0.1}
FEW = {1: 0.25, 2: 0.5, 3: 0.13, 4: 0.12}
ALL = {1: 0.18, 2: 0.4, 3: 0.1, 4: 0.14, 5: 0.04, 6: 0.05, 7: 0.02, 8: 0.07}
MISHAPS = Habits(slips=0.06, busy=0.06)
CHECKED = Habits(slips=0.2, busy=0.05, check_every=60)

FIRST_STEPS = Stage(0.04, {1: 0.6, 2: 0.4}, {"contiguous": 1.0}, (Sheets(1.0, items=(1, 3), renamed=0.1),))
SINGLE = Sheets(0.16)
MANY = Sheets(0.13, items=(6, 13), crowd=True, habits=MISHAPS)
LONG = Sheets(0.04, items=(14, 32))
LONG_SHAPES = ("chain2", "chain3", "chain3", "chain4", "chain4", "fan2", "fan3", "diamond")
PLANS = Sheets(0.26, Scope((1, 5), {"plan": 0.8, "rounds": 0.2, "call": 0.25}, LONG_SHAPES), habits=Habits(busy=0.04))
MADE = Scope((2, 6), {"made": 0.9, "refusal": 0.1}, listed={"few": 0.3, "eight": 0.7})
UNSEEN = Sheets(0.04, MADE)
ALIKE = Sheets(0.06, replace(MADE, words=90))
NEAR = Sheets(
    0.14,
    replace(
        MADE,
        kinds={"made": 0.6, "call": 0.28, "absent": 0.08, "refusal": 0.04},
        listed={"eight": 1.0},
        words=90,
        near=0.85,
    ),
)
HINTED = Sheets(
    0.14, Scope((2, 6), {"concept": 0.6, "call": 0.4}, given=0.8, misleading=(0, 3), listed={"few": 0.5, "eight": 0.5})
)
SHARED = Scope((3, 8), {"call": 0.5, "uses": 0.2, "plan": 0.15, "refusal": 0.15}, lines=0.8, misleading=(0, 1))
TOGETHER = Sheets(0.18, SHARED, habits=CHECKED)

TYPED = Sheets(
    0.12,
    Scope(
        (1, 4),
        {"sum": 0.46, "several": 0.22, "call": 0.18, "refusal": 0.14},
        listed={"all": 0.6, "few": 0.2, "eight": 0.2},
    ),
)

EASY = Stage(1.0, {2: 1.0}, {"contiguous": 1.0}, (Sheets(1.0, items=(1, 2), renamed=0.0),))
"""One or two single calls by two workers."""
WHOLE_WORLD = (
    FIRST_STEPS,
    Stage(1.0, ALL, LAYOUT_SHARES, (SINGLE, MANY, LONG, PLANS, UNSEEN, ALIKE, NEAR, HINTED, TOGETHER, TYPED)),
)
"""From random weights to everything."""
WIDEN = (Stage(1.0, ALL, LAYOUT_SHARES, (SINGLE, MANY, LONG, PLANS, UNSEEN, ALIKE, NEAR, HINTED, TOGETHER, TYPED)),)
"""For a model that solves single calls already."""
MEND = (
    Stage(
        1.0,
        ALL,
        LAYOUT_SHARES,
        (
            replace(SINGLE, weight=0.1),
            replace(MANY, weight=0.2),
            replace(LONG, weight=0.02),
            replace(TYPED, weight=0.42),
            Sheets(0.3, Scope((1, 4), {"plan": 0.7, "rounds": 0.3}, LONG_SHAPES), habits=Habits(busy=0.04)),
            replace(UNSEEN, weight=0.1),
            replace(ALIKE, weight=0.1),
            replace(NEAR, weight=0.16),
            replace(HINTED, weight=0.1),
            replace(TOGETHER, weight=0.2),
        ),
    ),
)
"""For a model that knows the whole world, with more of what it is weak in."""
CURRICULA = {"whole": WHOLE_WORLD, "widen": WIDEN, "mend": MEND}


@dataclass(frozen=True)
class Batch:
    """Strips, and the chosen tokens: `targets[i]`, of kind `KINDS[kinds[i]]`, was chosen from packed row `rows[i]`."""

    strips: list[Strip]
    rows: Tensor
    targets: Tensor
    kinds: Tensor
    num_tokens: int

    def packed(self, length: int) -> PackedBatch:
        """The same, packed for a CUDA device and padded to `length` rows."""
        return PackedBatch(pack(self.strips, length), self.rows, self.targets, self.kinds, self.num_tokens)


@dataclass(frozen=True)
class PackedBatch:
    """A batch whose strips are packed; `rows`, `targets`, `kinds` as in `Batch`."""

    packed: Packed
    rows: Tensor
    targets: Tensor
    kinds: Tensor
    num_tokens: int

    def to(self, device: torch.device | str) -> PackedBatch:
        rows, targets = (x.to(device, non_blocking=True) for x in (self.rows, self.targets))
        return PackedBatch(self.packed.to(device), rows, targets, self.kinds, self.num_tokens)


def stage_at(curriculum: Sequence[Stage], progress: float) -> Stage:
    """The stage of this share of the training."""
    return next((stage for stage in curriculum if progress < stage.until), curriculum[-1])


def lesson(seed: int, stage: Stage, encoder: Encoder, split: Split = "train") -> Lesson:
    """The lesson of a seed in this stage."""
    rng = random.Random(f"lesson:{seed}")
    sheets = rng.choices(stage.sheets, [one.weight for one in stage.sheets])[0]
    workers = rng.choices(list(stage.workers), list(stage.workers.values()))[0]
    if sheets.crowd:
        workers = max(workers, rng.choice((1, 2, 4, 8, 8)))
    layout = rng.choices(list(stage.layouts), list(stage.layouts.values()))[0]
    return play(sheet_of(sheets, seed, split), encoder, workers, LAYOUTS[layout], rng=rng, habits=sheets.habits)


def sheet_of(sheets: Sheets, seed: int, split: Split) -> Worksheet:
    if sheets.scope is not None:
        return make_sheet(seed, sheets.scope, split)
    return make_worksheet(seed, split, num_items=sheets.items, renamed=sheets.renamed)


def batch(lessons: Sequence[Lesson]) -> Batch:
    """Pack lessons one after another; what was chosen on purpose to be mended is not learned."""
    strips: list[Strip] = []
    rows: list[int] = []
    targets: list[int] = []
    kinds: list[int] = []
    offset = 0
    for one in lessons:
        strip = lay_out(one.tape)
        strips.append(strip)
        for choice in one.choices:
            if choice.kind != SLIP:
                rows.append(offset + strip.row(choice.block, choice.index))
                targets.append(choice.token)
                kinds.append(KINDS.index(choice.kind if choice.kind in KINDS else "other"))
        offset += len(strip.token_ids)
    return Batch(strips, torch.tensor(rows), torch.tensor(targets), torch.tensor(kinds), offset)


def batches(seeds: Iterator[int], stage: Stage, encoder: Encoder, num_tokens: int) -> Iterator[Batch]:
    """Batches of at most `num_tokens` tokens, one lesson per seed; a longer lesson is a batch by itself."""
    held: list[Lesson] = []
    size = 0
    for seed in seeds:
        one = lesson(seed, stage, encoder)
        length = sum(len(chunk.tokens) for chunk in one.tape.chunks)
        if held and size + length > num_tokens:
            yield batch(held)
            held, size = [], 0
        held.append(one)
        size += length
