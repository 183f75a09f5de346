"""A person at a real terminal approves calls, refuses them, and changes their arguments.

In: keys, typed into a terminal of its own when the text that they answer has appeared. Out: what stands on the screen,
and what ran. Neighbours: `workbench.approving`, `workbench.plan_command`; `test_edited_runs.py` for the rest.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PLAN = """
from toolsets.policy import CallPolicy
from toolsets.tool import Tool
from workbench.plan_command import _Command
from workbench.plan_run import read_plan

def double(n: int) -> int:
    "Twice a number."
    return 2 * n

tools = {"double": Tool.from_function(double, policy=CallPolicy(approval=True))}
command = _Command(read_plan("1. double(n=1)\\n2. double(n=$1)", tools, "auto"), tools, draw=True, as_json=False)
command.run(yes=False, timeout_s=None, on_failure=None)
command.show(ran=True)
"""
RUN = """
import sys
from toolsets.policy import CallPolicy
from workbench import Workbench
from workbench.run_command import see_through

with Workbench(workers=1, data_dir=sys.argv[1], memory="none") as bench:
    run = bench.run("1. What is the gcd of 84 and 126?", policy=CallPolicy(approval=True))
    see_through(run, False, "ask")
    print("by", [one.payload.by for one in run.events() if one.kind == "approval_given"])
    print("answer", run.items[0]["answer"])
"""


def typed(code: str, answers: list[tuple[str, str]], *arguments: str) -> str:
    """What a program with a terminal of its own shows, without control sequences; each answer is typed once what its
    pattern says has appeared after the one before."""
    ours, theirs = pty.openpty()
    size = {"TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"}
    env = {**os.environ, **size, "PYTHONPATH": f"{ROOT}:{ROOT / 'kernels'}"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    ) as child:
        os.close(theirs)
        shown, seen, until_s, left = "", 0, time.monotonic() + LIMIT_S, list(answers)
        while time.monotonic() < until_s:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # Linux says so when the other side has closed
                    break
                shown += piece.decode("utf-8", "replace")
            if left and re.search(left[0][0], ANSI.sub("", shown[seen:]), re.DOTALL):
                seen = len(shown)
                os.write(ours, left.pop(0)[1].encode())
        else:
            child.kill()
        code_ = child.wait()
    os.close(ours)
    clean = ANSI.sub("", shown)
    assert (code_, left) == (0, []), clean[-3000:]
    return clean


def test_a_plan_in_a_terminal_runs_with_arguments_that_a_person_edits() -> None:
    shown = typed(
        PLAN,
        [
            (r"double\(n=1\)\s+Run it\? .*edit\] ", "e\n"),
            (r"goes back: .*}", '\x7f\x7f"x"}\n'),
            (r"n of double must be a whole number, not 'x'\.\s.*goes back: .*}", "\x7f\n"),
            (r"This is no JSON.*goes back: .*x", "\x15\n"),  # an empty line: back to the question
            (r"Run it\? .*edit\] ", "e\n"),
            (r"goes back: .*}", "\x7f\x7f21}\n"),
            (r"double\(n=42\)\s+Run it\? .*edit\] ", "e\n"),
            (r"goes back: .*}", '\x7f\x7f\x7f"$1"}\n'),
        ],
    )
    assert "✓ $1 double(n=21) = 42" in shown
    assert "changed by you" in shown
    assert "$2 double = 84" in shown


def test_a_run_in_a_terminal_goes_on_with_arguments_that_a_person_edits_in_the_picture(tmp_path: Path) -> None:
    shown = typed(
        RUN,
        [
            ("n: no  e: edit", "e"),
            ("Enter: run  Esc: back", ",\n"),
            ("This is no JSON", "\x7f" * 4 + "10\n"),
        ],
        str(tmp_path),
    )
    assert "by ['terminal']" in shown
    assert "answer 2" in shown
