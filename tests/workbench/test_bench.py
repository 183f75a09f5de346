"""`python -m workbench.bench`: which figures are measured, and the plans that they are measured on."""

import argparse
import random
from collections import Counter

import pytest

from toolsets.executor.critical import critical_path
from toolsets.plan import Plan
from workbench import bench
from workbench.bench_plans import CALLS, WIDTH, random_plan
from workbench.bench_rows import row


def test_groups_of_figures_are_chosen_by_name() -> None:
    assert bench._groups("sandbox, plans") == ["sandbox", "plans"]
    with pytest.raises(argparse.ArgumentTypeError, match="name some of start, engine, papers, plans, sandbox"):
        bench._groups("plans,speed")


def test_a_figure_misses_its_bar_by_its_median() -> None:
    assert row("x", [0.9, 1.0, 9.0], "<= 1", "").holds
    assert not row("x", [0.9, 1.1, 9.0], "<= 1", "").holds
    assert not row("x", [2.0], ">= 3", "").holds


def test_the_random_plan_is_as_wide_and_as_long_as_the_bar_says() -> None:
    plan = random_plan(random.Random(0))
    assert len(plan) == CALLS
    depths = depths_of(plan)
    widths = Counter(depths.values())
    assert max(widths.values()) <= WIDTH
    assert max(widths.values()) > WIDTH // 2
    chain = critical_path(plan, dict.fromkeys(depths, 1.0))
    assert chain.duration_s == len(widths)


def depths_of(plan: Plan) -> dict[str, int]:
    depths: dict[str, int] = {}
    for call in plan:
        depths[call.id] = 1 + max((depths[id] for id in call.needs()), default=0)
    return depths
