"""What the child of a call gives up before it sees a line of the tool's code.

In: a `Job` (what the server knows about the call). Out: an effect on this process, or OSError, and then the code does
not run. Neighbours: `server` forks, `kernel` does, `tool_process` comes after. The order matters: mounts before
Landlock (which forbids them), the user before the limits that count by user, seccomp last.
"""

import fcntl
import os
import resource
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolsets.sandbox import kernel
from toolsets.sandbox.mechanisms import PLAIN_PROCESS, Mechanisms
from toolsets.sandbox.seccomp import build_filter

MAX_SLOTS: Final = 64
MAX_DESCRIPTORS: Final = 1024
"""The server's own limit, so that closing them all is quick where the system allows a billion."""
RESULT: Final = 3
"""The descriptor that the result is written to; the request is read from REQUEST and closed."""
REQUEST: Final = 4

_PLACES_FOR_SCRATCH: Final = ("/tmp", "/mnt", "/media", "/srv")


@dataclass(frozen=True, slots=True)
class Job:
    """One call, as the child is handed it. ruleset: a Landlock ruleset made beforehand, or -1
    where the call has a scratch directory and needs one of its own."""

    mechanisms: Mechanisms
    limits: dict[str, Any]
    readable: tuple[str, ...]
    base_memory: int
    slot: int
    ruleset: int
    request: int
    result: int
    output: int


def lock_down(job: Job) -> None:
    """After this the process can compute, print and write its result, and nothing else."""
    server = os.getppid()
    ruleset = _arrange_descriptors(job)
    os.setsid()
    mechanisms, scratch = job.mechanisms, None
    uid = mechanisms.first_uid + job.slot % MAX_SLOTS if mechanisms.own_count == "uid" else os.geteuid()
    if mechanisms.own_count == "namespace":
        kernel.enter_user_namespace()
    if job.limits["scratch_mb"] and mechanisms.scratch:
        scratch = place_for_scratch(job.readable)
        kernel.mount_scratch(scratch, job.limits["scratch_mb"], uid)
    if mechanisms.landlock and ruleset < 0:
        ruleset = kernel.make_ruleset(job.readable, scratch)
    _drop_privileges(mechanisms, uid)
    os.chdir(scratch or "/")
    _set_limits(job)
    if _is_linux():
        kernel.die_with_parent(signal.SIGKILL)
        kernel.hide_memory()
        kernel.forbid_new_privileges()
        if os.getppid() != server:
            os._exit(1)
    if mechanisms.landlock:
        kernel.restrict_self(ruleset)
        os.close(ruleset)
    if mechanisms.seccomp:
        threads = bool(mechanisms.own_count and job.limits["threads"])
        kernel.install_filter(build_filter(kernel.machine(), os.getpid(), threads=threads, scratch=scratch is not None))


def place_for_scratch(readable: Sequence[str]) -> str:
    """An existing directory that a mount may cover without hiding Python."""
    for place in _PLACES_FOR_SCRATCH:
        if os.path.isdir(place) and not any(f"{path}/".startswith(f"{place}/") for path in readable):
            return place
    raise OSError("No directory can serve as the place of a scratch directory.")


def _arrange_descriptors(job: Job) -> int:
    """0 is empty, 1 and 2 the output, 3 the result, 4 the request; all else is closed. Returns the ruleset's number."""
    empty, _ = os.pipe()
    wanted = [empty, job.output, job.output, job.result, job.request]
    if job.ruleset >= 0:
        wanted.append(job.ruleset)
    # First far away, so that no target is overwritten before it has been moved.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 2 * len(wanted)) for descriptor in wanted]
    for target, descriptor in enumerate(moved):
        os.dup2(descriptor, target, inheritable=target < RESULT)
    os.closerange(len(wanted), MAX_DESCRIPTORS)
    return REQUEST + 1 if job.ruleset >= 0 else -1


def _drop_privileges(mechanisms: Mechanisms, uid: int) -> None:
    if mechanisms.own_count == "uid":
        kernel.become(uid, keep_reading=mechanisms.keep_reading)
    elif mechanisms != PLAIN_PROCESS:
        kernel.set_capabilities(0)


def _set_limits(job: Job) -> None:
    limits = job.limits
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1)
    _limit(resource.RLIMIT_AS, job.base_memory + limits["memory_mb"] * 2**20)
    _limit(resource.RLIMIT_FSIZE, limits["scratch_mb"] * 2**20)
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    others = 0 if job.mechanisms.own_count else _tasks_of_this_user()
    _limit(resource.RLIMIT_NPROC, others + 1 + limits["threads"])


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    _, most = resource.getrlimit(which)
    wanted = soft if hard is None else hard
    hard = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(which, (min(soft, hard), hard))


def _tasks_of_this_user() -> int:
    """Processes and threads that the kernel counts already, where it counts them by user alone."""
    uid, tasks = os.getuid(), 0
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 1000  # no /proc (macOS, a closed container): a bound all the same
    for process in processes:
        try:
            if os.stat(f"/proc/{process}").st_uid == uid:
                tasks += len(os.listdir(f"/proc/{process}/task"))
        except OSError:
            continue  # it has ended meanwhile
    return tasks


def _is_linux() -> bool:
    return os.uname().sysname == "Linux"
