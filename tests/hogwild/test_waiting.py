"""How threads wait for each other: asleep on small machines, unless a person has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hogwild import waiting


@pytest.mark.parametrize(
    ("processors", "given", "found"),
    [
        (2, {}, "0"),
        (4, {}, "0"),
        (5, {}, None),
        (2, {"GOMP_SPINCOUNT": "7"}, "7"),
        (2, {"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_threads_wait_asleep_on_a_small_machine_unless_told_otherwise(
    processors: int, given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    waiting.wait_asleep()
    assert os.environ.get("GOMP_SPINCOUNT") == found


@pytest.mark.parametrize("room", ["hogwild", "workbench"])
def test_it_is_said_before_torch_is_imported(room: str) -> None:
    code = f"import os, sys; os.sched_getaffinity = lambda _: {{0}}; import {room}; "
    code += "print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert said.stdout.split() == ["False", "0"]
