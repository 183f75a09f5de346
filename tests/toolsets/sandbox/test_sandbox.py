"""The sandbox as a thing that runs: at once, cancelled, killed, closed, cold, and where nothing isolates."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from toolsets.sandbox import Isolation, IsolationError, Limits, Outcome, Sandbox, SandboxError, probe
from toolsets.sandbox.isolation import PROCESS_ONLY, STOPPED
from toolsets.sandbox.mechanisms import PLAIN_PROCESS
from toolsets.sandbox.probe import try_out

DOUBLE = "def double(x):\n    return 2 * x\n"
ENDLESS = "def endless():\n    while True:\n        pass\n"
SPAN = """
import time

def span():
    start = time.monotonic()
    time.sleep(1)
    return [start, time.monotonic()]
"""


def until(holds: Callable[[], Any]) -> None:
    """Look again until it holds, for at most 20 s."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        os.sched_yield()


def ended(pid: int) -> bool:
    """Whether a process ends within 20 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with contextlib.closing(os.fdopen(descriptor)):
        return bool(select.select([descriptor], [], [], 20)[0])


def overlap(spans: list[list[float]]) -> bool:
    return max(start for start, _ in spans) < min(end for _, end in spans)


def test_calls_run_at_the_same_time_from_tasks(sandbox: Sandbox) -> None:
    outcomes: list[Outcome] = []

    async def one() -> None:
        outcomes.append(await sandbox.call(SPAN, "span", {}))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(one)

    anyio.run(main)
    assert overlap([outcome.value for outcome in outcomes])


def test_calls_run_at_the_same_time_from_threads(isolation: Isolation, watch: Any) -> None:
    with Sandbox(warm=2) as sandbox, ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(sandbox.call_sync, SPAN, "span", {}) for _ in range(6)]
        spans = [call.result().value for call in calls]
        assert len(set(watch.servers(sandbox))) == 2
    assert overlap(spans)


def test_each_of_many_calls_gets_its_own_result(sandbox: Sandbox) -> None:
    results: dict[int, Any] = {}

    async def one(number: int) -> None:
        results[number] = (await sandbox.call(DOUBLE, "double", {"x": number})).value

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)

    anyio.run(main)
    assert results == {number: 2 * number for number in range(100)}


def test_a_cancelled_call_is_dead_when_it_returns(sandbox: Sandbox, watch: Any) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(sandbox.call, ENDLESS, "endless", {})
            await anyio.to_thread.run_sync(until, lambda: watch.left(watch.servers(sandbox)))
            with anyio.fail_after(3):  # the call's own limit is 5 s
                group.cancel_scope.cancel()
        assert watch.left(watch.servers(sandbox)) == []

    anyio.run(main)
    assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42


def test_a_call_that_is_cancelled_at_once_leaves_nothing(sandbox: Sandbox, watch: Any) -> None:
    async def main() -> None:
        for _ in range(20):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await sandbox.call(ENDLESS, "endless", {})
            assert scope.cancelled_caught
        assert watch.left(watch.servers(sandbox)) == []

    anyio.run(main)


def test_an_error_of_the_sandbox_is_raised_as_itself_from_a_task() -> None:
    async def main() -> None:
        async with Sandbox(isolation=PROCESS_ONLY) as sandbox:
            with pytest.raises(IsolationError):
                await sandbox.call(DOUBLE, "double", {"x": 1})

    anyio.run(main)


def test_a_killed_server_is_replaced(isolation: Isolation, watch: Any) -> None:
    with Sandbox() as sandbox:
        (pid,) = watch.servers(sandbox)
        os.kill(pid, signal.SIGKILL)
        # At once, so that the death may or may not have been noticed.
        assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42
        assert watch.servers(sandbox) != (pid,)
        assert ended(pid)


def test_a_call_whose_server_dies_is_lost_and_its_child_too(isolation: Isolation, watch: Any) -> None:
    with Sandbox() as sandbox, ThreadPoolExecutor(1) as pool:
        call = pool.submit(sandbox.call_sync, ENDLESS, "endless", {}, limits=Limits(time_s=60))
        until(lambda: watch.left(watch.servers(sandbox)))
        (pid,) = watch.servers(sandbox)
        (child,) = watch.left((pid,))
        os.kill(pid, signal.SIGKILL)
        fault = call.result(20).error
        assert fault is not None
        assert (fault.kind, fault.message) == ("lost", "The sandbox's server ended during the call: call again.")
        assert ended(child)
        assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42


def test_a_stopped_server_is_given_up_and_replaced(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch, watch: Any
) -> None:
    monkeypatch.setattr("toolsets.sandbox.exchange.GRACE_S", 0.1)
    with Sandbox() as sandbox:
        (pid,) = watch.servers(sandbox)
        os.kill(pid, signal.SIGSTOP)
        fault = sandbox.call_sync(DOUBLE, "double", {"x": 21}, limits=Limits(time_s=0.2)).error
        assert fault is not None
        assert fault.kind == "lost"
        assert ended(pid)
        assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42


def test_closing_ends_calls_and_leaves_no_process(isolation: Isolation, watch: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        sandbox = Sandbox(warm=2)
        sandbox.start()
        pids = watch.servers(sandbox)
        call = pool.submit(sandbox.call_sync, ENDLESS, "endless", {}, limits=Limits(time_s=60))
        until(lambda: watch.left(pids))
        children = watch.left(pids)
        sandbox.close()
        fault = call.result(20).error
        assert fault is not None
        assert (fault.kind, fault.type) == ("ended", "Cancelled")
        assert all(ended(pid) for pid in (*pids, *children))
        with pytest.raises(SandboxError, match="closed"):
            sandbox.call_sync(DOUBLE, "double", {"x": 1})


def test_when_the_caller_is_killed_everything_ends(isolation: Isolation, watch: Any) -> None:
    script = f"""
import threading
from toolsets.sandbox import Sandbox
sandbox = Sandbox()
sandbox.start()
print(sandbox._servers[0].pid, flush=True)
sandbox.call_sync({ENDLESS!r}, "endless", {{}})
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as caller:
        assert caller.stdout is not None
        server = watch.fork_server(int(caller.stdout.readline()))
        until(lambda: watch.left((server,)))
        (child,) = watch.left((server,))
        caller.kill()
    assert ended(server)
    assert ended(child)


def test_ctrl_c_ends_a_call_on_the_main_thread(sandbox: Sandbox, watch: Any) -> None:
    def interrupt() -> None:
        until(lambda: watch.left(watch.servers(sandbox)))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.call_sync(ENDLESS, "endless", {}, limits=Limits(time_s=60))
    thread.join()
    until(lambda: not watch.left(watch.servers(sandbox)))
    assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42


def test_a_cold_call_keeps_no_server(isolation: Isolation, watch: Any) -> None:
    with Sandbox(warm=0) as sandbox:
        assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42
        assert watch.servers(sandbox) == ()


def test_preloaded_modules_are_there_already(isolation: Isolation) -> None:
    source = "import sys\n\ndef loaded():\n    return 'colorsys' in sys.modules\n"
    with Sandbox(preload=("colorsys",)) as sandbox:
        assert sandbox.call_sync(source, "loaded", {}).value is True
    with Sandbox() as sandbox:
        assert sandbox.call_sync(source, "loaded", {}).value is False
    with pytest.raises(SandboxError, match="no_such_module"), Sandbox(preload=("no_such_module",)):
        pass


def test_the_server_is_a_fresh_program_with_nothing_of_the_callers(sandbox: Sandbox, watch: Any) -> None:
    sandbox.start()
    for pid in watch.servers(sandbox):
        assert Path(f"/proc/{pid}/environ").read_bytes() in (b"", b"PWD=/\0")  # what bubblewrap sets
        targets = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert {target.split(":")[0] for target in targets} <= {"/dev/null", "socket", "anon_inode", "pipe"}
        assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_fork_of_the_caller_uses_servers_of_its_own(sandbox: Sandbox, watch: Any) -> None:
    sandbox.start()
    mine = watch.servers(sandbox)
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            right = sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42
            status = 0 if right and watch.servers(sandbox) != mine else 2
            sandbox.close()
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert sandbox.call_sync(DOUBLE, "double", {"x": 21}).value == 42
    assert watch.servers(sandbox) == mine


# ------------------------------------------------------------------------------------------------ how well it isolates


def test_the_probe_is_made_once_and_tells_people_what_holds() -> None:
    found = probe()
    assert probe() is found
    assert set(found.stopped) | set(found.open) == set(STOPPED)
    assert next(found.lines()) == f"sandbox: {found}"


def test_the_probe_sees_that_a_plain_process_isolates_nothing(linux: None) -> None:
    found = try_out(PLAIN_PROCESS)
    assert not found.isolated
    assert {"reading a file", "writing a file", "TCP", "UDP", "unix sockets", "starting a process"} <= set(found.open)
    assert str(found) == "not isolated (process limits only)"


@pytest.mark.parametrize(
    ("missing", "gets_out"),
    [({"landlock": 0}, "reading a file"), ({"seccomp": False}, "starting a process")],
)
def test_the_probe_sees_what_is_missing(isolation: Isolation, missing: dict[str, Any], gets_out: str) -> None:
    found = try_out(replace(isolation.mechanisms, bubblewrap="", **missing))
    assert gets_out in found.open
    assert not found.isolated
    assert found.reason


def test_without_isolation_a_tool_runs_only_if_the_person_has_said_so() -> None:
    with Sandbox(isolation=PROCESS_ONLY) as sandbox:
        with pytest.raises(IsolationError, match="unsafe=True"):
            sandbox.call_sync(DOUBLE, "double", {"x": 21})
        outcome = sandbox.call_sync(DOUBLE, "double", {"x": 21}, unsafe=True)
    assert outcome.value == 42
    assert str(outcome.isolation) == "not isolated (process limits only)"


def test_what_may_run_unsafe_is_isolated_where_it_can_be(sandbox: Sandbox) -> None:
    assert sandbox.call_sync(DOUBLE, "double", {"x": 21}, unsafe=True).isolation.isolated


def test_an_unsafe_call_has_no_environment_and_its_limits() -> None:
    source = "import os\n\ndef tool():\n    return [dict(os.environ), os.getcwd()]\n"
    with Sandbox(isolation=PROCESS_ONLY) as sandbox:
        assert sandbox.call_sync(source, "tool", {}, unsafe=True).value == [{}, "/"]
        outcome = sandbox.call_sync(ENDLESS, "endless", {}, unsafe=True, limits=Limits(time_s=0.3))
        assert outcome.limits_hit == ("time limit of 0.3 s",)


@pytest.mark.parametrize("end", ["return [os.getpid(), pids]", "while True: pass"])
def test_an_unsafe_call_leaves_no_daemon(linux: None, watch: Any, end: str) -> None:
    source = f"""
import os, time

def tool():
    pids = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        pids.append(pid)
        os.waitpid(pid, 0)
    print(len(pids), flush=True)
    {end}
"""
    with Sandbox(isolation=PROCESS_ONLY) as sandbox:
        outcome = sandbox.call_sync(source, "tool", {}, unsafe=True, limits=Limits(time_s=2))
    assert outcome.stdout == "3\n"
    assert watch.left() == []


def test_a_call_that_cannot_be_locked_down_does_not_run(isolation: Isolation, world) -> None:
    broken = replace(isolation.mechanisms, own_count="uid", first_uid=-5)
    source = f"def tool():\n    print('it ran')\n    return open({world.target['secret']!r}).read()\n"
    with Sandbox(isolation=Isolation(broken, STOPPED, ())) as sandbox:
        outcome = sandbox.call_sync(source, "tool", {})
    assert outcome.error is not None
    assert outcome.error.kind == "lost"
    assert outcome.error.message.startswith("The sandbox could not be set up")
    assert (outcome.value, "it ran" in outcome.stdout) == (None, False)


def test_a_scratch_directory_is_refused_where_none_can_be_made(isolation: Isolation) -> None:
    without = Isolation(replace(isolation.mechanisms, scratch=False), STOPPED, ())
    with Sandbox(Limits(scratch_mb=1), isolation=without) as sandbox, pytest.raises(SandboxError, match="scratch_mb=0"):
        sandbox.call_sync(DOUBLE, "double", {"x": 1})
