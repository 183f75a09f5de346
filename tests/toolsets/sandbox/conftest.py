"""What hostile code is let loose on: a world of things that it could reach, each of which shows if it was reached."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolsets.sandbox import Isolation, Outcome, Sandbox, kernel, probe
from toolsets.sandbox.syscalls import NUMBERS

ROOT = Path(__file__).parents[3]
BOOT = b"toolsets.sandbox.server"


class World:
    """A secret in a file, in a process's environment and in memory; listening sockets; open folders; a bystander."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.halves = secrets.token_hex(16), secrets.token_hex(16)
        self.secret = "".join(self.halves)
        self.folder = folder
        self.ipc_key = 1 + secrets.randbelow(2**31 - 1)
        self.signals: list[int] = []
        previous = signal.signal(signal.SIGUSR1, lambda number, _: self.signals.append(number))
        stack.callback(signal.signal, signal.SIGUSR1, previous)
        self.memory = ctypes.create_string_buffer(self.secret.encode())
        self._make_files()
        self._listen(stack)
        self._stack = stack
        self._start_bystander()
        self.renew()

    def renew(self) -> None:
        """A new marker for what the next attack leaves behind, and the state of things before it."""
        self.marker = f"sandbox-{secrets.token_hex(8)}"
        self.abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.abstract.bind(f"\0{self.marker}")
        self.abstract.listen()
        self.abstract.setblocking(False)
        self.before = self._state()

    def repair(self) -> None:
        """Undo what an attack that was meant to succeed has done."""
        self.signals.clear()
        self._start_bystander()
        shutil.rmtree(self.folder / "open")
        (self.folder / "secret.py").unlink()
        self._make_files()
        for path in (*self._left_behind(), *self.folder.glob("sandbox-*")):
            path.unlink()
        c = ctypes.CDLL(None)
        if (identifier := c.shmget(self.ipc_key, ctypes.c_size_t(0), 0)) >= 0:
            c.shmctl(identifier, 0, None)
        if (identifier := c.semget(self.ipc_key, 0, 0)) >= 0:
            c.semctl(identifier, 0, 0)

    @property
    def target(self) -> dict[str, Any]:
        return {
            "secret": str(self.folder / "secret.py"),
            "first_half": self.halves[0],
            "second_half": self.halves[1],
            "folder": str(self.folder),
            "open_folder": str(self.folder / "open"),
            "open_file": str(self.folder / "open" / "file"),
            "marker": self.marker,
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "unix": str(self.folder / "stream"),
            "unix_datagram": str(self.folder / "datagram"),
            "pid": os.getpid(),
            "address": ctypes.addressof(self.memory),
            "bystander": self.bystander.pid,
            "home": str(Path.home()),
            "repository": str(ROOT),
            "host": socket.gethostname(),
            "ipc_key": self.ipc_key,
            "max_threads": 4,
            "max_memory": 64 << 20,
        }

    def breaches(self, outcome: Outcome) -> list[str]:
        """What an attack has achieved, seen from outside, and by its own words."""
        found = []
        told = f"{outcome.value!r} {outcome.error!r} {outcome.stdout}"
        if self.secret in told or (isinstance(outcome.value, str) and outcome.value.startswith("OUT")):
            found.append(f"it came back with {told[:500]}")
        found += [f"{name} was reached" for name, channel in self._channels().items() if _reached(channel)]
        found += [f"{thing} has changed" for thing in self._state() ^ self.before]
        found += [f"{path} was left behind" for path in self._left_behind()]
        if self.signals:
            found.append(f"the parent received signals: {self.signals}")
        if self.bystander.poll() is not None:
            found.append("the bystander is dead")
        if ctypes.CDLL(None).shmget(self.ipc_key, ctypes.c_size_t(0), 0) >= 0:
            found.append("shared memory was left behind")
        found += [f"process {pid} was left behind" for pid in _processes_left()]
        self.abstract.close()
        return found

    def _start_bystander(self) -> None:
        command, environment = ["cat"], {"SECRET": self.secret}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
        self.bystander = self._stack.enter_context(process)

    def _make_files(self) -> None:
        self.folder.chmod(0o755)
        (self.folder / "secret.py").write_text(f"secret = {self.secret!r}\n")
        (self.folder / "open").mkdir()
        (self.folder / "open").chmod(0o777)
        (self.folder / "open" / "file").write_text("as it was")
        (self.folder / "open" / "file").chmod(0o666)

    def _listen(self, stack: contextlib.ExitStack) -> None:
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.udp = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.bind(("::", 0))
        self.stream = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        self.stream.bind(str(self.folder / "stream"))
        self.stream.listen()
        self.datagram = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.datagram.bind(str(self.folder / "datagram"))
        for name in ("stream", "datagram"):
            (self.folder / name).chmod(0o777)
        for channel in (self.tcp, self.udp, self.stream, self.datagram):
            channel.setblocking(False)

    def _channels(self) -> dict[str, socket.socket]:
        return {
            "the TCP server": self.tcp,
            "the UDP socket": self.udp,
            "the unix server": self.stream,
            "the unix datagram socket": self.datagram,
            "the abstract unix server": self.abstract,
        }

    def _state(self) -> set[tuple[str, ...]]:
        state = set()
        for path in (self.folder, *self.folder.rglob("*")):
            status = path.stat()
            content = path.read_text() if path.is_file() else ""
            state.add((str(path), oct(status.st_mode), str(status.st_mtime_ns), str(status.st_nlink), content))
        bystander = self.bystander.pid
        state.add(("priority", str(os.getpriority(os.PRIO_PROCESS, bystander))))
        state.add(("processors", str(os.sched_getaffinity(bystander))))
        return state

    def _left_behind(self) -> list[Path]:
        library = Path(os.__file__).parent
        places = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/", "/usr/lib", library, library / "json"]
        paths = [Path(place, self.marker) for place in (*places, Path.home(), ROOT)]
        return [path for path in paths if path.exists()]


def _reached(channel: socket.socket) -> bool:
    try:
        if channel.type == socket.SOCK_STREAM:
            channel.accept()[0].close()
        else:
            channel.recv(4096)
    except BlockingIOError:
        return False
    return True


def _processes_left(servers: tuple[int, ...] = ()) -> list[int]:
    """Children of the given servers, and server-like processes whose parent is gone."""
    left = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            parent = _parent(pid)
            if parent in servers or (parent == 1 and _is_server(pid)):
                left.append(pid)
    return left


def _fork_server(pid: int) -> int:
    """The server's own process: bubblewrap puts two of its own above it."""
    while Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap":
        (pid,) = (child for child in _pids() if _parent(child) == pid)
    return pid


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def _is_server(pid: int) -> bool:
    comm, command = Path(f"/proc/{pid}/comm").read_text(), Path(f"/proc/{pid}/cmdline").read_bytes()
    return BOOT in command and comm.strip() != "bwrap"


@pytest.fixture(scope="session")
def isolation() -> Isolation:
    """What holds on this machine; tests that need it are skipped where the machine cannot do it, and only there."""
    found = probe()
    if not found.isolated:
        able = sys.platform == "linux" and kernel.machine() in NUMBERS and kernel.landlock_version() > 0
        assert not able, f"this machine has Landlock and seccomp, and yet: {found}, {found.open}, {found.reason}"
        pytest.skip(f"this machine cannot isolate code: {found.reason or found.open}")
    return found


@pytest.fixture(scope="module")
def sandbox(isolation: Isolation) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    for parent in folder.parents:  # pytest closes its folders to others, which would do the sandbox's work
        if parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    with contextlib.ExitStack() as stack:
        yield World(folder, stack)


class Watch:
    """Looks at the processes of sandboxes from outside."""

    fork_server = staticmethod(_fork_server)
    left = staticmethod(_processes_left)

    def servers(self, sandbox: Sandbox) -> tuple[int, ...]:
        return tuple(_fork_server(server.pid) for server in sandbox._servers)


@pytest.fixture(scope="session")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="session")
def linux() -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
