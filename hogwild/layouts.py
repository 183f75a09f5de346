"""Layouts: which blocks stand in whose view, in which order. Pure functions from a workspace to views.

Hogwild! Inference (arXiv 2504.06261), section 3.2 and figure 2, names three; `independent` is the baseline without
sharing. To write your own, give `Layout(name, arrange, closes_steps)` any function of `Arrangement`.
Above: `workspace.py`. Below: `views.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hogwild.errors import ViewError
from hogwild.views import Block, View


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What a layout may look at.

    prompt: blocks that everyone starts with. history: finished steps of all workers, in the order of finishing (empty
    where the layout does not close steps). open: per worker, in order, the blocks of its own unfinished work (the last
    is the one it appends to). common: blocks put in for everyone, a person's words for example. separator: the block
    that stands before each worker's own text, or None.
    """

    prompt: tuple[Block, ...]
    history: tuple[Block, ...]
    open: dict[str, tuple[Block, ...]]
    common: tuple[Block, ...] = ()
    separator: Block | None = None

    def others(self, worker: str) -> tuple[Block, ...]:
        """The unfinished work of everyone else, in worker order."""
        return tuple(block for name, blocks in self.open.items() if name != worker for block in blocks)

    def before_own(self) -> tuple[Block, ...]:
        return (self.separator,) if self.separator is not None else ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A named rule. `closes_steps`: at the end of a step the worker's block is frozen and joins the history."""

    name: str
    arrange: Callable[[Arrangement, str], View]
    closes_steps: bool = False


def _contiguous(given: Arrangement, worker: str) -> View:
    return (*given.prompt, *given.common, *given.others(worker), *given.before_own(), *given.open[worker])


def _interleaved(given: Arrangement, worker: str) -> View:
    return (*given.prompt, *given.history, *given.common, *given.before_own(), *given.open[worker])


def _combined(given: Arrangement, worker: str) -> View:
    return (
        *given.prompt,
        *given.history,
        *given.common,
        *given.others(worker),
        *given.before_own(),
        *given.open[worker],
    )


def _independent(given: Arrangement, worker: str) -> View:
    return (*given.prompt, *given.common, *given.before_own(), *given.open[worker])


CONTIGUOUS = Layout("contiguous", _contiguous)
INTERLEAVED = Layout("interleaved", _interleaved, closes_steps=True)
COMBINED = Layout("combined", _combined, closes_steps=True)
INDEPENDENT = Layout("independent", _independent)

LAYOUTS = {layout.name: layout for layout in (CONTIGUOUS, INTERLEAVED, COMBINED, INDEPENDENT)}


def layout_named(layout: str | Layout) -> Layout:
    """The layout itself, or the one of that name."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise ViewError(f"There is no layout '{layout}'; choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[layout]
