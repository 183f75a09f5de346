"""`workbench bench`: the roofline's arithmetic, and one real measurement of the embedded model."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.measuring import Point, one_more, plot


def point(workers: int, step_s: float, **changes: float) -> Point:
    given = {"weight_bytes": 800, "cache_bytes": 200, "copy_bytes_per_s": 2000.0, **changes}
    return Point(workers, 64, step_s, (step_s, step_s), **given)  # type: ignore[arg-type]


def test_a_step_as_fast_as_the_memory_stands_on_the_roof() -> None:
    assert point(4, 0.5).of_roof == 1.0
    assert point(4, 0.5).tokens_per_s == 8.0
    assert point(4, 0.5).bound == "weights"
    assert point(4, 0.5, weight_bytes=100, cache_bytes=900).bound == "cache"
    assert point(4, 2.0).bound == "overhead"
    assert point(4, 2.0, host_s=1.5).bound == "host"
    assert plot([point(1, 1.0)], width=10)[1].count("█") == 5


def test_one_more_worker_is_priced_by_the_last_two() -> None:
    (line,) = one_more([point(2, 1.0), point(4, 1.2)])
    assert "one worker more than 4 costs about +100.00 ms a step" in line
    assert "3.3 tokens/s would become about 3.8" in line


def test_the_embedded_model_is_measured() -> None:
    done = CliRunner().invoke(app, ["bench", "--workers", "2,1", "--contexts", "32,1000000", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(one["workers"], one["context"]) for one in told["points"]] == [(1, 32), (2, 32)]
    for one in told["points"]:
        assert one["tokens_per_s"] == pytest.approx(one["workers"] / one["step_ms"] * 1e3)
        assert 0 < one["of_roof"] == pytest.approx(one["gb_per_s"] / told["copy_gb_per_s"])
