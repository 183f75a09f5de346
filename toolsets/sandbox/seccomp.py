"""The list of system calls that sandboxed code may make, as a BPF program for seccomp.

In: the machine, the process's own id, whether threads and a scratch directory are allowed. Out: `Instruction`s, put in
force by `kernel.install_filter`. Pure. Everything that is not on the list fails: a new system call is forbidden until
somebody reads what it does. The list stops what Landlock does not see: sockets of every kind, processes, namespaces,
io_uring, shared memory and message queues, ptrace, foreign memory, keys, changes of mode, owner and times.
"""

import errno
from typing import Final, NamedTuple

from toolsets.sandbox.syscalls import AUDIT_ARCH, NUMBERS


class Instruction(NamedTuple):
    """`struct sock_filter` (linux/filter.h)."""

    code: int
    jump_true: int
    jump_false: int
    value: int


class Condition(NamedTuple):
    """Argument `argument`, masked, must be one of `values`. `wide`: its upper 32 bits must be zero as well."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False


_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
REFUSE: Final = 0x00050000 | errno.EPERM
UNKNOWN: Final = 0x00050000 | errno.ENOSYS

_FIRST_OF_COMMON_NUMBERS: Final = 424
"""From here on all machines share their numbers. These calls have older twins that the C library falls back to when
it is told ENOSYS: clone3 has clone, openat2 has openat."""

_NUMBER_AT: Final = 0  # offsets in struct seccomp_data (linux/seccomp.h), little-endian machines
_MACHINE_AT: Final = 4
_ARGUMENTS_AT: Final = 16

# linux/fcntl.h, linux/sched.h, asm/ioctls.h, linux/socket.h
_WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, __O_TMPFILE
_CLONE_THREAD: Final = 0x00010000
_CLONE_NEW: Final = 0x7E020080
_FCNTL: Final = (0, 1, 2, 3, 4, 1030, 1032)  # DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, GETPIPE_SZ
_FCNTL_LOCKS: Final = (5, 6, 7)
_IOCTL: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, WINSZ, FIONREAD, FIONBIO, NCLEX, CLEX
_AF_UNIX: Final = 1
_SOCK_STREAM: Final = 1

# What needs a writable directory at all. chmod, chown, utimes and xattr are missing on purpose: Landlock does not look
# at them, so they would reach every file of the person's own.
_WRITERS: Final = frozenset({
    "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "ftruncate", "fsync",
    "fdatasync", "fallocate", "flock",
})  # fmt: skip


def build_filter(machine: str, pid: int, *, threads: bool, scratch: bool) -> list[Instruction]:
    """The program for one process; raises KeyError for a machine whose numbers are not known."""
    conditions = _conditions(pid, scratch=scratch)
    left_out = (frozenset() if scratch else _WRITERS) | (frozenset() if threads else {"clone"})
    program = [
        Instruction(_LOAD, 0, 0, _MACHINE_AT),
        Instruction(_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        Instruction(_RETURN, 0, 0, KILL),
        Instruction(_LOAD, 0, 0, _NUMBER_AT),
    ]
    for name, number in NUMBERS[machine].items():
        if name in left_out:
            continue
        block = _block(conditions.get(name, ()))
        program += [Instruction(_EQUAL, 0, len(block), number), *block]
    program += [
        Instruction(_AT_LEAST, 0, 1, _FIRST_OF_COMMON_NUMBERS),
        Instruction(_RETURN, 0, 0, UNKNOWN),
        Instruction(_RETURN, 0, 0, REFUSE),
    ]
    return program


def _conditions(pid: int, *, scratch: bool) -> dict[str, tuple[Condition, ...]]:
    """Calls that are allowed with certain arguments only."""
    conditions: dict[str, tuple[Condition, ...]] = {
        "kill": (Condition(0, (pid,)),),
        "tgkill": (Condition(0, (pid,)),),
        # One's own limits may be read. Setting them, or another process's, is the parent's business.
        "prlimit64": (Condition(0, (0,)), Condition(2, (0,), wide=True)),
        "clone": (Condition(0, (_CLONE_THREAD,), _CLONE_THREAD), Condition(0, (0,), _CLONE_NEW)),
        # F_SETOWN would let the kernel send signals on the code's behalf, F_SETLEASE and locks disturb others.
        "fcntl": (Condition(1, _FCNTL + (_FCNTL_LOCKS if scratch else ())),),
        "ioctl": (Condition(1, _IOCTL),),
        # asyncio needs a pair. A datagram pair could send to a path of the file system, a stream pair cannot.
        "socketpair": (Condition(0, (_AF_UNIX,)), Condition(1, (_SOCK_STREAM,), 0xF)),
        "sendto": (Condition(4, (0,), wide=True),),
    }
    if not scratch:
        conditions["open"] = (Condition(1, (0,), _WRITING),)
        conditions["openat"] = (Condition(2, (0,), _WRITING),)
    return conditions


def _block(conditions: tuple[Condition, ...]) -> list[Instruction]:
    """Every condition in turn; each either goes on or refuses. Always ends in a return."""
    block: list[Instruction] = []
    for condition in conditions:
        at = _ARGUMENTS_AT + 8 * condition.argument
        if condition.wide:
            block += _check(at + 4, 0xFFFFFFFF, (0,))
        block += _check(at, condition.mask, condition.values)
    return [*block, Instruction(_RETURN, 0, 0, ALLOW)]


def _check(at: int, mask: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [Instruction(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [Instruction(_LOAD, 0, 0, at), Instruction(_AND, 0, 0, mask), *tests, Instruction(_RETURN, 0, 0, REFUSE)]
