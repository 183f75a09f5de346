"""The list of allowed system calls as a program, decided by an interpreter of BPF that shares no code with it."""

import errno
import os
import re
from pathlib import Path

import pytest

from toolsets.sandbox.seccomp import ALLOW, KILL, Instruction, build_filter
from toolsets.sandbox.syscalls import AUDIT_ARCH, NUMBERS

MACHINES = sorted(NUMBERS)
PID = 4711
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# Numbers of calls that are nowhere on the list, from the same headers.
FORBIDDEN = {
    "x86_64": {"socket": 41, "connect": 42, "bind": 49, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101,
               "chmod": 90, "shmget": 29, "unshare": 272, "mount": 165, "process_vm_readv": 310, "setsid": 112,
               "prctl": 157, "readlink": 89, "memfd_create": 319, "tkill": 200, "keyctl": 250, "execveat": 322,
               "creat": 85},
    "aarch64": {"socket": 198, "connect": 203, "bind": 200, "execve": 221, "ptrace": 117, "fchmodat": 53, "shmget": 194,
                "unshare": 97, "mount": 40, "process_vm_readv": 270, "setsid": 157, "prctl": 167, "readlinkat": 78,
                "memfd_create": 279, "tkill": 130, "keyctl": 219, "execveat": 281},
}  # fmt: skip
NEW = {"io_uring_setup": 425, "clone3": 435, "openat2": 437, "pidfd_open": 434, "fchmodat2": 452}


def decide(program: list[Instruction], machine: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Run the program as the kernel would (Documentation/networking/filter.rst)."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = number.to_bytes(4, "little") + machine.to_bytes(4, "little") + bytes(8)
    data += b"".join((word & (2**64 - 1)).to_bytes(8, "little") for word in words)
    accumulator, at = 0, 0
    while True:
        code, jump_true, jump_false, value = program[at]
        at += 1
        if code == 0x20:
            accumulator = int.from_bytes(data[value : value + 4], "little")
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            at += jump_true if accumulator == value else jump_false
        elif code == 0x35:
            at += jump_true if accumulator >= value else jump_false
        else:
            assert code == 0x06
            return value


def allowed(machine: str, name: str, *arguments: int, threads: bool = True, scratch: bool = False) -> bool:
    program = build_filter(machine, PID, threads=threads, scratch=scratch)
    return decide(program, AUDIT_ARCH[machine], NUMBERS[machine][name], arguments) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_on_the_list_is_refused(machine: str) -> None:
    program = build_filter(machine, PID, threads=True, scratch=True)
    for name, number in FORBIDDEN[machine].items():
        assert name not in NUMBERS[machine]
        assert decide(program, AUDIT_ARCH[machine], number) == 0x50000 | errno.EPERM, name
    for name, number in NEW.items():
        assert decide(program, AUDIT_ARCH[machine], number) == 0x50000 | errno.ENOSYS, name
    listed = set(NUMBERS[machine].values())
    assert all(decide(program, AUDIT_ARCH[machine], number) != ALLOW for number in range(1000) if number not in listed)


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_machine_kill(machine: str) -> None:
    program = build_filter(machine, PID, threads=True, scratch=False)
    assert decide(program, 0x40000003, 1) == KILL  # i386
    if machine == "x86_64":
        assert decide(program, AUDIT_ARCH[machine], 0x40000000 | 1) != ALLOW  # x32


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_reach_the_process_itself_alone(machine: str) -> None:
    for name in ("kill", "tgkill"):
        assert allowed(machine, name, PID, PID, 6)
        for pid in (PID + 1, 1, 0, -1, -PID):
            assert not allowed(machine, name, pid, PID, 6)


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_may_be_started_but_no_process(machine: str) -> None:
    thread = 0x3D0F00  # what glibc's pthread_create asks for
    assert allowed(machine, "clone", thread)
    assert not allowed(machine, "clone", thread, threads=False)
    for flags in (17, 0x1200011, 0x4000 | 0x100 | 17, thread | 0x10000000, thread | 0x20000):
        assert not allowed(machine, "clone", flags)


@pytest.mark.parametrize("machine", MACHINES)
def test_files_are_opened_for_reading_unless_there_is_a_scratch_directory(machine: str) -> None:
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW):
        assert allowed(machine, "openat", -100, 0, flags)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, 0o20200000, os.O_APPEND | os.O_WRONLY):
        assert not allowed(machine, "openat", -100, 0, flags)
        assert allowed(machine, "openat", -100, 0, flags, scratch=True)
    assert not allowed(machine, "mkdirat")
    assert allowed(machine, "mkdirat", scratch=True)


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_a_call_has_a_harmless_and_a_harmful_use(machine: str) -> None:
    assert allowed(machine, "socketpair", 1, 1 | 0o2000000)
    assert not allowed(machine, "socketpair", 1, 2)
    assert not allowed(machine, "socketpair", 2, 1)
    assert allowed(machine, "sendto", 3, 0, 1, 0, 0, 0)
    assert not allowed(machine, "sendto", 3, 0, 1, 0, 0x7F00_0000_0000, 16)
    assert not allowed(machine, "sendto", 3, 0, 1, 0, 0x1_0000_0000, 16)
    assert allowed(machine, "prlimit64", 0, 7, 0, 0x7F00_0000_0000)
    assert not allowed(machine, "prlimit64", 0, 7, 0x1_0000_0000, 0)
    assert not allowed(machine, "prlimit64", PID + 1, 7, 0, 0)
    assert allowed(machine, "fcntl", 3, 4)
    assert not allowed(machine, "fcntl", 3, 8)
    assert not allowed(machine, "fcntl", 3, 6)
    assert allowed(machine, "fcntl", 3, 6, scratch=True)
    assert allowed(machine, "ioctl", 0, 0x5401)
    assert not allowed(machine, "ioctl", 0, 0x5412)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    numbers.setdefault("newfstatat", numbers.get("fstatat", ""))
    assert {name: int(numbers[name]) for name in NUMBERS[machine]} == NUMBERS[machine]
    forbidden = FORBIDDEN[machine] | NEW
    assert {name: int(numbers[name]) for name in forbidden if name in numbers} == {
        name: number for name, number in forbidden.items() if name in numbers
    }
