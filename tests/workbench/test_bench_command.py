"""`workbench bench`: the roofline's arithmetic, and one real measurement of the embedded model."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.measuring import Point, occupied_s, one_more, plot, waited_s


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


def test_the_host_s_share_is_what_a_step_takes_beyond_the_device_s_work_however_slow_the_profiler() -> None:
    # Two steps, in microseconds: kernels that overlap, a pause of the device, and 500 in which it waits for its host.
    events = [(0.0, 40.0, "a"), (45.0, 100.0, "b"), (50.0, 60.0, "c"), (600.0, 640.0, "a"), (645.0, 700.0, "b")]
    assert occupied_s(events, 2) == pytest.approx(100e-6)
    assert waited_s(104e-6, events, 2) == pytest.approx(4e-6)
    assert waited_s(90e-6, events, 2) == 0.0
    assert waited_s(90e-6, [], 2) is None


def test_the_embedded_model_is_measured() -> None:
    done = CliRunner().invoke(app, ["bench", "--workers", "2,1", "--contexts", "32,1000000", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(one["workers"], one["context"]) for one in told["points"]] == [(1, 32), (2, 32)]
    for one in told["points"]:
        assert one["tokens_per_s"] == pytest.approx(one["workers"] / one["step_ms"] * 1e3)
        assert 0 < one["of_roof"] == pytest.approx(one["gb_per_s"] / told["copy_gb_per_s"])
