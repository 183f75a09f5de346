"""Turns worksheets into batches for training: laid-out strips and the rows to learn from.

In: seeds and a stage of the curriculum. Out: `Batch`es: strips for the replay, and the packed row of each chosen
token. Below: `worksheets.py`, `script.py`, `hogwild.replay`. Above: `train.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hogwild.embedded.script import Encoder, Lesson, play
from hogwild.embedded.worksheets import Split, make_worksheet
from hogwild.layouts import LAYOUTS
from hogwild.replay import Strip, lay_out

KINDS = ("begin", "claim", "call", "answer", "joint")


@dataclass(frozen=True)
class Stage:
    """One part of the curriculum.

    until: the share of the training at which the stage ends. workers, layouts: weighted choices. items: smallest and
    largest number of items. renamed: share of worksheets whose tools appear under other names.
    """

    until: float
    workers: dict[int, float]
    layouts: dict[str, float]
    items: tuple[int, int]
    renamed: float


CURRICULUM = (
    Stage(0.06, {1: 0.6, 2: 0.4}, {"contiguous": 1.0}, (1, 3), 0.1),
    Stage(
        1.0,
        {1: 0.25, 2: 0.5, 3: 0.13, 4: 0.12},
        {"contiguous": 0.76, "combined": 0.14, "interleaved": 0.1},
        (2, 7),
        0.2,
    ),
)


@dataclass(frozen=True)
class Batch:
    """Strips, and the chosen tokens: `targets[i]`, of kind `KINDS[kinds[i]]`, was chosen from packed row `rows[i]`."""

    strips: list[Strip]
    rows: Tensor
    targets: Tensor
    kinds: Tensor
    num_tokens: int


def lesson(seed: int, stage: Stage, encoder: Encoder, split: Split = "train") -> Lesson:
    """The lesson of a seed in this stage."""
    rng = random.Random(f"lesson:{seed}")
    workers = rng.choices(list(stage.workers), list(stage.workers.values()))[0]
    layout = rng.choices(list(stage.layouts), list(stage.layouts.values()))[0]
    sheet = make_worksheet(seed, split, num_items=stage.items, renamed=stage.renamed)
    return play(sheet, encoder, workers, LAYOUTS[layout], rng=rng)


def batch(lessons: Sequence[Lesson]) -> Batch:
    """Pack lessons one after another."""
    strips: list[Strip] = []
    rows: list[int] = []
    targets: list[int] = []
    kinds: list[int] = []
    offset = 0
    for one in lessons:
        strip = lay_out(one.tape)
        strips.append(strip)
        rows.extend(offset + strip.row(choice.block, choice.index) for choice in one.choices)
        targets.extend(choice.token for choice in one.choices)
        kinds.extend(KINDS.index(choice.kind) for choice in one.choices)
        offset += len(strip.token_ids)
    return Batch(strips, torch.tensor(rows), torch.tensor(targets), torch.tensor(kinds), offset)


def batches(seeds: Iterator[int], stage: Stage, encoder: Encoder, num_tokens: int) -> Iterator[Batch]:
    """Batches of at least `num_tokens` tokens, one lesson per seed."""
    held: list[Lesson] = []
    size = 0
    for seed in seeds:
        one = lesson(seed, stage, encoder)
        held.append(one)
        size += sum(len(chunk.tokens) for chunk in one.tape.chunks)
        if size >= num_tokens:
            yield batch(held)
            held, size = [], 0
