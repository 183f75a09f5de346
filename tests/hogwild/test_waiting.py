"""How threads wait for each other: awake for a moment, unless a person has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hogwild import waiting


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, str(waiting.TURNS)), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_wait_briefly_unless_told_otherwise(
    given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    waiting.wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == found


@pytest.mark.parametrize("room", ["hogwild", "workbench"])
def test_it_is_said_before_torch_is_imported(room: str) -> None:
    code = f"import os, sys, {room}; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert said.stdout.split() == ["False", str(waiting.TURNS)]
