"""The Linux system calls of the sandbox, through ctypes: Landlock, seccomp, namespaces, capabilities.

In: plain values. Out: an effect on the calling process, or OSError with the name of the call. Neighbours: `lockdown`
says which of them in which order, `seccomp` makes the program. Runs in the server and in the child of a call.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import Any, Final

from toolsets.sandbox.seccomp import Instruction

_C: Final = ctypes.CDLL(None, use_errno=True)

# linux/landlock.h; the same numbers on every machine
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_RULE_PATH_BENEATH: Final = 1
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE: Final = 1 << 4 | 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_FILE: Final = 1 << 8
_REFER: Final = 1 << 13  # moving between directories
_TRUNCATE: Final = 1 << 14
_USE: Final = _WRITE_FILE | _REMOVE | _MAKE_DIR | _MAKE_FILE | _REFER | _TRUNCATE
# Right -> the first Landlock version that knows it: moving between directories 2, truncating 3, device ioctl 5.
_FS_RIGHTS: Final = ((range(13), 1), (range(13, 14), 2), (range(14, 15), 3), (range(15, 16), 5))
_TCP: Final = 0b11  # bind and connect, version 4
_SCOPES: Final = 0b11  # abstract unix sockets and signals, version 6
LANDLOCK_SCRATCH_VERSION: Final = 3
"""Before it, a file that may be read could be truncated once files may be opened for writing anywhere."""

_NEW_NS: Final = 0x00020000
_NEW_UTS: Final = 0x04000000
_NEW_IPC: Final = 0x08000000
_NEW_USER: Final = 0x10000000
_NEW_NET: Final = 0x40000000
_MS_NOSUID_NODEV_NOEXEC: Final = 0b1110
_MS_REC_PRIVATE: Final = 1 << 14 | 1 << 18

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_SECCOMP: Final = 22
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITIES_VERSION_3: Final = 0x20080522
_CAP_DAC_READ_SEARCH: Final = 2


def machine() -> str:
    """x86_64, aarch64 or another name; a 32-bit Python on a 64-bit kernel is none of them."""
    return os.uname().machine if ctypes.sizeof(ctypes.c_void_p) == 8 else "32 bit"


# -------------------------------------------------------------------------------------------------------- Landlock


def landlock_version() -> int:
    """The version that the kernel offers; 0 where there is none."""
    return max(0, _syscall(_CREATE_RULESET, None, 0, 1))


def make_ruleset(readable: Sequence[str], scratch: str | None) -> int:
    """A ruleset (a descriptor) that forbids everything known but reading beneath `readable` and using `scratch`."""
    version = landlock_version()
    rights = sum(1 << bit for bits, since in _FS_RIGHTS if version >= since for bit in bits)
    words = [rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0]
    attributes = (ctypes.c_uint64 * 3)(*words)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked("landlock_create_ruleset", _syscall(_CREATE_RULESET, attributes, size, 0))
    for path in readable:
        _allow(ruleset, path, _READ_FILE | _READ_DIR)
    if scratch is not None:
        _allow(ruleset, scratch, _READ_FILE | _READ_DIR | _USE)
    return ruleset


def restrict_self(ruleset: int) -> None:
    """Put a ruleset in force for this process, for good. Needs no_new_privs."""
    _checked("landlock_restrict_self", _syscall(_RESTRICT_SELF, ruleset, 0))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def _allow(ruleset: int, path: str, rights: int) -> None:
    directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights, directory)
        _checked("landlock_add_rule", _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(directory)


# --------------------------------------------------------------------------------------------------------- seccomp


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _Filter(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


def install_filter(program: Sequence[Instruction]) -> None:
    """Put a seccomp program in force for this process, for good. Needs no_new_privs."""
    filters = (_Filter * len(program))(*(_Filter(*instruction) for instruction in program))
    head = _Program(len(program), ctypes.cast(filters, ctypes.c_void_p))
    _prctl("PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(head))


# ------------------------------------------------------------------------------------------------------ namespaces


def enter_namespaces() -> None:
    """No network, no shared memory of others, a host name and mounts of one's own. One thread only."""
    spaces = _NEW_NS | _NEW_UTS | _NEW_IPC | _NEW_NET
    if _C.unshare(spaces) != 0:  # it takes a privilege that everybody has in a user namespace of their own
        _enter_user_namespace(spaces)
    _checked("mount", _C.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None))
    _checked("sethostname", _C.sethostname(b"sandbox", ctypes.c_size_t(7)))


def enter_user_namespace() -> None:
    """A count of processes of one's own (RLIMIT_NPROC counts by user and user namespace, since Linux 5.14)."""
    _enter_user_namespace(0)


def _enter_user_namespace(spaces: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _checked("unshare", _C.unshare(_NEW_USER | spaces))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mount_scratch(path: str, size_mb: int, uid: int) -> None:
    """An empty tmpfs over `path`, seen by this process alone, gone with it."""
    _checked("unshare", _C.unshare(_NEW_NS))
    options = f"size={size_mb}m,nr_inodes={1024 + 16 * size_mb},mode=0700,uid={uid}".encode()
    flags = ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC)
    _checked("mount", _C.mount(b"scratch", path.encode(), b"tmpfs", flags, options))


# ------------------------------------------------------------------------------------------------------ privileges


def become(uid: int, *, keep_reading: bool) -> None:
    """Another user without groups. keep_reading: files that only root may read stay readable (a Python in /root)."""
    if keep_reading:
        _prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    set_capabilities(1 << _CAP_DAC_READ_SEARCH if keep_reading else 0)


def set_capabilities(mask: int) -> None:
    """Keep these capabilities and drop all others, for good."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)
    _checked("capset", _C.capset(header, words))


def forbid_new_privileges() -> None:
    """What Landlock and seccomp ask for first; setuid programs stop working."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """No core, and no other process of the same user may look into this one."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def die_with_parent(signal_number: int) -> None:
    """Be killed when the parent dies. A change of user undoes it, so it comes after."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Grandchildren whose parent died become children of this process, so that none escapes by a double fork."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def _prctl(name: str, option: int, *arguments: Any) -> None:
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    _checked(name, _C.prctl(option, *words))


def _syscall(number: int, *arguments: Any) -> int:
    # A bare int would be passed as 32 bits, and the kernel reads 64.
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return int(_C.syscall(ctypes.c_long(number), *words))


def _checked(name: str, answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return answer
