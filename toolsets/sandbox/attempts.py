"""What `probe` runs inside a sandbox: a list of attempts to get out, each with what came of it.

In: paths, ports and the id of a process that the prober has set up for this. Out: for each attempt, whether it
succeeded. The source of this file is the tool; it is never imported by anything but checks of types.
"""

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import Any


def attempt_all(target: dict[str, Any]) -> dict[str, bool]:
    """Every attempt in turn; True means that it got out."""
    attempts: dict[str, Callable[[], object]] = {
        "reading a file": lambda: read(target["secret"]),
        "reading the parent's environment": lambda: read(f"/proc/{target['pid']}/environ"),
        "writing a file": lambda: write(target["write"]),
        "TCP": lambda: socket.create_connection(("127.0.0.1", target["tcp"]), 1),
        "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", target["udp"])),
        "unix sockets": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(target["unix"]),
        "starting a process": start_process,
        "too many threads": lambda: start_threads(target["threads"]),
        "too much memory": lambda: bytearray(target["memory"]),
        "signalling the parent": lambda: os.kill(target["pid"], 0),
        "reading the parent's memory": lambda: read_memory(target["pid"], target["address"]),
        "new namespaces": new_user_namespace,
        "changing a file's mode": lambda: os.chmod(target["secret"], 0o777),
    }
    return {name: succeeds(attempt) for name, attempt in attempts.items()}


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Exception:
        return False
    return True


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def write(path: str) -> None:
    with open(path, "w") as file:
        file.write("out")


def start_process() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def start_threads(number: int) -> None:
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(number)]
    try:
        for thread in threads:
            thread.start()
    finally:
        end.set()
        for thread in threads:
            with contextlib.suppress(RuntimeError):  # it was never started
                thread.join()


def read_memory(pid: int, address: int) -> None:
    local = ctypes.create_string_buffer(8)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(local), 8)
    there = (ctypes.c_void_p * 2)(address, 8)
    c = ctypes.CDLL(None)
    c.process_vm_readv.restype = ctypes.c_ssize_t
    if c.process_vm_readv(pid, here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0)) != 8:
        raise OSError("nothing was read")


def new_user_namespace() -> None:
    if ctypes.CDLL(None).unshare(0x10000000) != 0:
        raise OSError("no namespace was made")
