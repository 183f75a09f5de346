"""One packed step over several runs, and the next one begun before the host has read its tokens.

In: collaborations of one engine. Out: what happened in each. Runs never see each other. Above: `workbench.host`. Below:
`collaboration.py`, `engine.py`, `sampling.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hogwild.collaboration import Collaboration
from hogwild.engine import Engine
from hogwild.run_values import Happening
from hogwild.runner import Step
from hogwild.sampling import Chosen, choose
from hogwild.views import Feed


def advance(
    engine: Engine, collaborations: Sequence[Collaboration], *, mass: bool = False
) -> list[tuple[Collaboration, list[Happening], Step, list[Feed]]]:
    """One packed step over every collaboration that has something due; runs never see each other."""
    due = [(one, feeds) for one in collaborations if (feeds := one.feeds())]
    if not due:
        return []
    logits, step = engine.step_last([feed for _, feeds in due for feed in feeds], mass=mass)
    samplers, written = zip(*(one.chooser(feed.tag) for one, feeds in due for feed in feeds), strict=True)
    allowed = [one.allowed(feed.tag) for one, feeds in due for feed in feeds]
    chosen = choose(samplers, logits, written, allowed)
    if not mass:
        _run_ahead(engine, due, chosen)
    tokens, told, at = chosen.ids(), [], 0
    for one, feeds in due:
        told.append((one, one.took(feeds, tokens[at : at + len(feeds)]), step, feeds))
        at += len(feeds)
    return told


def _run_ahead(engine: Engine, due: Sequence[tuple[Collaboration, list[Feed]]], chosen: Chosen) -> None:
    """The device goes on to the next step, if that can be known, while the host reads the tokens of this one."""
    views, rows, at = [], [], 0
    for one, feeds in due:
        going = one.space.foreseen(feeds)
        if going is None:
            return
        views += [feeds[index].view for index in going]
        rows += [at + index for index in going]
        at += len(feeds)
    engine.run_ahead(views, chosen, rows)
