"""The fork server: a bare interpreter that forks one locked-down child per call and buries it.

In: messages and descriptors on the control socket. Out: for each call, on a socket of its own, b"+" once the child
exists and a JSON status once it is dead. Neighbours: `client` at the other end, `lockdown` and `tool_process` in the
child. It was executed afresh, so nothing of the caller's memory is in it; it never reads a request, so nothing of one
call reaches the next; it never runs a tool's code. When the control socket closes it kills its children and ends.
"""

import ctypes
import gc
import importlib
import io
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from toolsets.sandbox import kernel, wire
from toolsets.sandbox.examine import FIRST_UID, examine
from toolsets.sandbox.lockdown import MAX_DESCRIPTORS, MAX_SLOTS, REQUEST, RESULT, Job, lock_down
from toolsets.sandbox.mechanisms import PLAIN_PROCESS, Mechanisms
from toolsets.sandbox.tool_process import run_tool

_UNKNOWN_BASE_BYTES: Final = 64 << 20


@dataclass(slots=True)
class _Child:
    channel: socket.socket
    deadline: float
    slot: int
    timed_out: bool = False


class _Server:
    """mechanisms, readable: as configured. children: by process id, all alive or not yet buried."""

    def __init__(self, control: socket.socket, configuration: dict[str, Any]) -> None:
        self.control = control
        self.mechanisms = Mechanisms.from_dict(configuration["mechanisms"])
        self.readable = tuple(configuration["readable"])
        self.children: dict[int, _Child] = {}
        if self.mechanisms.namespaces:
            kernel.enter_namespaces()
        if self.mechanisms == PLAIN_PROCESS and sys.platform == "linux":
            kernel.adopt_orphans()
        if self.mechanisms.own_count == "uid" and self.mechanisms.first_uid >= FIRST_UID:
            first_uid = FIRST_UID + os.getpid() % 2**22 * MAX_SLOTS
            self.mechanisms = replace(self.mechanisms, first_uid=first_uid)
        _import(configuration["packages"], configuration["preload"])
        self.ruleset = kernel.make_ruleset(self.readable, None) if self.mechanisms.landlock else -1
        self.base_memory = _address_space()
        self.wake, self.waker = socket.socketpair()
        for end in (self.wake, self.waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> Job | None:
        """Until the control socket closes: then None. In a child: its job, at once."""
        while True:
            ready = self._wait()
            if self.wake.fileno() in ready:
                self._drain()
            self._stop_late_ones()
            for pid, child in list(self.children.items()):
                if child.channel.fileno() in ready and _is_closed(child.channel):
                    _kill(pid)
            self._bury()
            if self.control.fileno() in ready:
                try:
                    message, descriptors = wire.receive(self.control)
                except ConnectionError:
                    self._end()
                    return None
                if (job := self._fork(message, descriptors)) is not None:
                    return job

    def _wait(self) -> set[int]:
        poll = select.poll()
        for descriptor in (self.control, self.wake, *(child.channel for child in self.children.values())):
            poll.register(descriptor, select.POLLIN)
        deadlines = [child.deadline for child in self.children.values() if not child.timed_out]
        timeout_ms = max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None
        return {descriptor for descriptor, _ in poll.poll(timeout_ms)}

    def _fork(self, message: dict[str, Any], descriptors: list[int]) -> Job | None:
        channel_fd, request, result, output = descriptors
        channel = socket.socket(fileno=channel_fd)
        channel.setblocking(False)
        limits = message["limits"]
        slot = min(set(range(len(self.children) + 1)) - {child.slot for child in self.children.values()})
        ruleset = -1 if limits["scratch_mb"] else self.ruleset
        job = Job(self.mechanisms, limits, self.readable, self.base_memory, slot, ruleset, request, result, output)
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            _tell(channel, wire.STARTED + json.dumps({"failed": str(error)}).encode())
        if pid == 0:
            # Detached: a socket object that is collected later would close whatever has its number by then.
            for end in (channel, self.control, self.wake, self.waker):
                end.detach()
            return job
        for descriptor in (request, result, output):
            os.close(descriptor)
        if pid < 0:
            channel.close()
            return None
        self.children[pid] = _Child(channel, time.monotonic() + limits["time_s"], slot)
        _tell(channel, wire.STARTED)
        return None

    def _stop_late_ones(self) -> None:
        now = time.monotonic()
        for pid, child in self.children.items():
            if now >= child.deadline and not child.timed_out:
                child.timed_out = True
                _kill(pid)

    def _bury(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            child = self.children.pop(pid, None)
            if child is not None and self.mechanisms == PLAIN_PROCESS:
                _kill(pid)  # the rest of its group, while its number is not free yet
            _, status, usage = os.wait4(pid, 0)
            if child is None:
                continue  # an adopted orphan
            if self.mechanisms == PLAIN_PROCESS:
                self._kill_orphans()
            code = os.waitstatus_to_exitcode(status)
            report = {"code": code, "timed_out": child.timed_out, "cpu_s": usage.ru_utime + usage.ru_stime}
            _tell(child.channel, json.dumps(report).encode())
            child.channel.close()

    def _kill_orphans(self) -> None:
        """Without seccomp the code may have left processes in sessions of their own: they are this process's now."""
        for _ in range(1000):
            orphans = [pid for pid in _own_children() if pid not in self.children]
            if not orphans:
                return
            for pid in orphans:
                _kill(pid)
                os.waitpid(pid, 0)

    def _drain(self) -> None:
        try:
            while self.wake.recv(4096):
                pass
        except BlockingIOError:
            return

    def _end(self) -> None:
        for pid in self.children:
            _kill(pid)
        while self.children:
            select.select([self.wake], [], [], 0.1)
            self._drain()
            self._bury()


def main(control_fd: int) -> None:
    """The first message is {"examine": ...}, answered with what works here, or the configuration, answered by {}."""
    control = socket.socket(fileno=control_fd)
    os.umask(0o077)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MAX_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        message, _ = wire.receive(control)
        if "examine" in message:
            wire.send(control, examine(tuple(message["readable"])).as_dict())
            return
        try:
            server = _Server(control, message)
        except Exception as error:
            wire.send(control, {"failed": f"{type(error).__name__}: {error}"})
            return
        gc.freeze()
        wire.send(control, {})
        job = server.serve()
    except ConnectionError:
        return
    del server
    if job is not None:
        _become_tool(job)


def _become_tool(job: Job) -> None:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            lock_down(job)
        except Exception as error:
            os.write(1, f"The sandbox could not be set up: {error}".encode())
            os._exit(wire.SET_UP_FAILED)
        run_tool(REQUEST, RESULT, job.limits["result_kb"] * 1024)
    finally:
        os._exit(1)


def _import(packages: list[str], modules: list[str]) -> None:
    sys.path += packages
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True)  # what was printed before a limit is not lost with the process
    os.environ.clear()  # Python itself has set LC_CTYPE
    # C libraries see one thread, os.environ stays empty: threads that they start at import would be refused.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.putenv(name, "1")
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(-8, 1)  # M_ARENA_MAX: one arena, because each thread's own would take 64 MB of address space
    for module in modules:
        importlib.import_module(module)


def _address_space() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return _UNKNOWN_BASE_BYTES


def _own_children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    """The child with its whole process group, or alone where it has not made one yet."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _is_closed(channel: socket.socket) -> bool:
    try:
        return channel.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _tell(channel: socket.socket, data: bytes) -> None:
    try:
        channel.send(data)
    except OSError:
        return  # the caller has lost interest
