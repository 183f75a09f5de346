"""Attempts by system calls that Landlock does not see. libc only, no wrapper of Python's in between."""

import ctypes
import mmap
import os

OUT = "OUT"
ARM = os.uname().machine == "aarch64"


def _call(number, *arguments):
    return ctypes.CDLL(None).syscall(ctypes.c_long(number), *arguments)


def _verdict(answer):
    return f"{OUT}: {answer}" if answer is not None and answer >= 0 else "refused"


def user_namespace(target):
    return _verdict(ctypes.CDLL(None).unshare(0x10000000))


def any_namespace(target):
    spaces = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000)
    return _verdict(max(ctypes.CDLL(None).unshare(space) for space in spaces))


def namespace_by_clone(target):
    pid = _call(220 if ARM else 56, ctypes.c_ulong(0x10000000 | 17), None, None, None, None)
    if pid == 0:
        os._exit(0)
    return _verdict(pid)


def join_namespace(target):
    return _verdict(ctypes.CDLL(None).setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0))


def join_namespace_of_a_process(target):
    return _verdict(ctypes.CDLL(None).setns(_call(434, target["pid"], 0), 0x40000000))


def io_uring(target):
    return _verdict(_call(425, 8, ctypes.create_string_buffer(256)))


def shared_memory(target):
    return _verdict(ctypes.CDLL(None).shmget(target["ipc_key"], ctypes.c_size_t(4096), 0o1666))


def message_queue(target):
    return _verdict(ctypes.CDLL(None).msgget(target["ipc_key"], 0o1666))


def semaphores(target):
    return _verdict(ctypes.CDLL(None).semget(target["ipc_key"], 1, 0o1666))


def posix_message_queue(target):
    return _verdict(_call(180 if ARM else 240, target["marker"].encode(), os.O_CREAT | os.O_RDWR, 0o666, None))


def posix_shared_memory(target):
    from multiprocessing import shared_memory

    return f"{OUT}: {shared_memory.SharedMemory(target['marker'], create=True, size=4096).name}"


def unnamed_memory_file(target):
    """Its pages are counted by no limit of the process."""
    return f"{OUT}: {os.memfd_create('bomb')}"


def secret_memory(target):
    return _verdict(_call(447, 0))


def kernel_keys(target):
    return _verdict(_call(217 if ARM else 248, b"user", target["marker"].encode(), b"out", ctypes.c_size_t(3), -3))


def read_kernel_keys(target):
    return _verdict(_call(219 if ARM else 250, 0, -3, 1, 0, 0))


def bpf(target):
    return _verdict(_call(280 if ARM else 321, 0, ctypes.create_string_buffer(128), 128))


def performance_counters(target):
    return _verdict(_call(241 if ARM else 298, ctypes.create_string_buffer(128), 0, -1, -1, 0))


def user_faults(target):
    return _verdict(_call(282 if ARM else 323, 0))


def mount(target):
    return _verdict(ctypes.CDLL(None).mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None))


def new_mount_calls(target):
    return _verdict(max(_call(430, b"tmpfs", 0), _call(428, -100, b"/", 1)))


def change_root(target):
    return _verdict(ctypes.CDLL(None).chroot(b"/usr"))


def watch_files(target):
    return _verdict(ctypes.CDLL(None).inotify_init())


def open_by_the_new_call(target):
    """openat2, whose flags seccomp cannot read."""
    how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o666, 0)
    return _verdict(_call(437, -100, f"{target['open_folder']}/{target['marker']}".encode(), how, ctypes.c_size_t(24)))


def move_pages_between_pipes(target):
    """splice, which has let unprivileged code write to read-only files (Dirty Pipe)."""
    _, end = os.pipe()
    source = os.open(os.__file__, os.O_RDONLY)
    return _verdict(_call(76 if ARM else 275, source, None, end, None, ctypes.c_size_t(1), 0))


def load_module(target):
    return _verdict(_call(105 if ARM else 175, None, ctypes.c_ulong(0), b""))


def set_the_clock(target):
    return _verdict(_call(112 if ARM else 227, 0, (ctypes.c_long * 2)(0, 0)))


def host_name(target):
    return _verdict(ctypes.CDLL(None).sethostname(b"out", ctypes.c_size_t(3)))


def numbers_of_the_other_abi(target):
    """x32: the same calls under other numbers, here socket()."""
    return "refused" if ARM else _verdict(_call(0x40000000 | 41, 2, 1, 0))


def calls_of_32_bit_code(target):
    """int 0x80: the numbers of another machine, here write(1, ...) there, which is exit here."""
    if ARM:
        return "refused"
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return f"{OUT}: {ctypes.CFUNCTYPE(ctypes.c_int)(address)()}"
