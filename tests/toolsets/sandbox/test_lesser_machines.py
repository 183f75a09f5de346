"""Machines that offer less: containers without namespaces, kernels without Landlock, neither, and what is left there.

A process makes itself such a machine by a filter of its own, and probes.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolsets.sandbox import Isolation
from toolsets.sandbox.isolation import STOPPED

LANDLOCK = [444, 445, 446]
UNSHARE = {"x86_64": 272, "aarch64": 97}
CAPSET = {"x86_64": 126, "aarch64": 91}

SCRIPT = """
import dataclasses, errno, json, sys
from toolsets.sandbox import kernel
from toolsets.sandbox.seccomp import ALLOW, Instruction

numbers = json.loads(sys.argv[1])
program = [Instruction(0x20, 0, 0, 0)]
for number in numbers:
    program += [Instruction(0x15, 0, 1, number), Instruction(0x06, 0, 0, 0x50000 | errno.EPERM)]
program.append(Instruction(0x06, 0, 0, ALLOW))
kernel.forbid_new_privileges()
kernel.install_filter(program)

from toolsets.sandbox import IsolationError, Limits, Sandbox, SandboxError, probe

found = probe()
answer = {"isolated": found.isolated, "open": found.open, "mechanisms": str(found.mechanisms), "reason": found.reason}
with Sandbox() as sandbox:
    for name, limits in (("value", None), ("scratch", Limits(scratch_mb=1))):
        try:
            answer[name] = sandbox.call_sync("def double(x): return 2 * x", "double", {"x": 21}, limits=limits).value
        except (IsolationError, SandboxError) as error:
            answer[name] = type(error).__name__
print(json.dumps(answer))
"""


def on_a_machine_without(numbers: list[int]) -> dict[str, Any]:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", SCRIPT, json.dumps(numbers)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=60, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_without_namespaces_calls_are_isolated_but_have_no_scratch(isolation: Isolation) -> None:
    answer = on_a_machine_without(list(UNSHARE.values()))
    assert (answer["isolated"], answer["value"], answer["scratch"]) == (True, 42, "SandboxError")
    assert "namespaces" not in answer["mechanisms"]


def test_without_landlock_nothing_runs_and_the_reason_is_told(isolation: Isolation) -> None:
    answer = on_a_machine_without(LANDLOCK)
    assert (answer["isolated"], answer["value"], answer["scratch"]) == (False, "IsolationError", "IsolationError")
    assert "reading a file" in answer["open"]
    assert "Landlock" in answer["reason"]


@pytest.mark.parametrize("numbers", [list(CAPSET.values()), [*LANDLOCK, *UNSHARE.values(), *CAPSET.values()]])
def test_a_machine_that_refuses_more_is_never_called_isolated_unless_it_is(
    isolation: Isolation, numbers: list[int]
) -> None:
    answer = on_a_machine_without(numbers)
    assert answer["isolated"] == (answer["value"] == 42)
    assert answer["isolated"] == (answer["open"] == [])
    assert set(answer["open"]) <= set(STOPPED)
    assert answer["isolated"] or answer["reason"]
