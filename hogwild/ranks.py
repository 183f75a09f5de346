"""Tensor parallel: several processes (ranks), each with a part of every layer and its own KV heads, in the same steps.

In: a model that is too big for one device. Out: an engine in this process, rank 0, used like any other. Rank 0 alone
schedules, samples, calls tools and writes logs; what it does with the model and the cache is broadcast as plain JSON
just before it does it, and every other rank (`follower.py`) does the same to its own part. So tokens cannot differ
between ranks: only one chooses them. transformers shards the weights (`DistributedConfig`) and puts the collectives
into the forward. Above: `engine.py`. Below: torch.distributed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import astuple
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from hogwild.cache import SharedCache
from hogwild.errors import HogwildError, RankLost
from hogwild.tape import Tape
from hogwild.views import Block, Feed

IDLE = timedelta(days=365)
"""How long ranks wait to be told something: as long as a person thinks. A rank whose leader is gone ends at once."""
MEETING = timedelta(minutes=5)
LOADING = timedelta(hours=2)
"""How long a rank waits for another in a step, so also for its part of the weights before the first."""
END_S = 10.0
"""How long a rank may take to end before it is killed."""


class Ranks(Protocol):
    """Who takes the same steps, as an engine sees it."""

    size: int
    over: str
    """Why the engine cannot be used any more; empty while it can."""

    def together(self, what: str, *arguments: Any) -> AbstractContextManager[None]:
        """Around something that runs the model: every rank does it at the same time."""
        ...

    def average(self, share: Tensor) -> Tensor:
        """The mean over all ranks, for what each knows of its own heads only."""
        ...

    def cache(self, *given: Any) -> SharedCache:
        """The cache of an engine with these ranks; the arguments are those of `SharedCache`."""
        ...

    def close(self) -> None:
        """End the other processes. Idempotent."""
        ...


class Alone:
    """One process, nobody to tell."""

    size = 1
    over = ""

    def together(self, what: str, *arguments: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def average(self, share: Tensor) -> Tensor:
        return share

    def cache(self, *given: Any) -> SharedCache:
        return SharedCache(*given)

    def close(self) -> None:
        pass


class Member(Alone):
    """A rank that does what it is told: `told` waits for the next message."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._control: Any = dist.new_group(backend="gloo", timeout=IDLE)

    def average(self, share: Tensor) -> Tensor:
        share = share.contiguous()
        dist.all_reduce(share)
        return share / self.size

    def send(self, message: Sequence[Any]) -> None:
        """From rank 0 to all."""
        data = torch.frombuffer(bytearray(json.dumps(message, default=_plain).encode()), dtype=torch.uint8)
        dist.broadcast(torch.tensor([len(data)]), 0, group=self._control)
        dist.broadcast(data, 0, group=self._control)

    def told(self) -> list[list[Any]]:
        """What rank 0 sent: a list of [what, argument, ...]."""
        size = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(size, 0, group=self._control)
        data = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self._control)
        return list(json.loads(data.numpy().tobytes()))


class Leader(Member):
    """Rank 0. Changes of the cache are noted and go with the next message, so a step costs one broadcast."""

    def __init__(self, size: int, others: Sequence[_Process], forget: Callable[[], None]) -> None:
        """forget: what is to be done in the end; before, the place where they meet must stay, as new groups use it."""
        super().__init__(0, size)
        self._others, self._forget = others, forget
        self._lock = threading.RLock()
        self._noted: list[list[Any]] = []
        self._inside = 0
        self._leads = False

    def begin(self) -> None:
        """From here on the others listen; before, all do the same unasked (loading, the probe)."""
        self._leads = True

    @contextmanager
    def noting(self, what: str, *arguments: Any) -> Iterator[None]:
        """Around a change of the cache that runs no model; a change made by another one is part of that."""
        with self._lock:
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1
            if self._leads and not self._inside:
                self._noted.append([what, *arguments])

    @contextmanager
    def together(self, what: str, *arguments: Any) -> Iterator[None]:
        with self._lock:
            if self.over:
                raise RankLost(self.over)
            self._inside += 1
            try:
                if self._leads:
                    noted, self._noted = self._noted, []
                    self.send([*noted, [what, *arguments]])
                yield
            except BaseException as error:
                # Some ranks are in the middle of it, and cannot be called back.
                broken = isinstance(error, RuntimeError) or isinstance(error.__cause__, RuntimeError)
                lost = self._lost() if broken else ""
                self.over = lost or "The processes of this model have ended after an error; load the model again."
                self._end(gently=False)
                if lost:
                    raise RankLost(lost) from error
                raise
            finally:
                self._inside -= 1

    def cache(self, *given: Any) -> SharedCache:
        return _LedCache(self, *given)

    def ready(self) -> None:
        """Wait until all others have loaded their part. Raises RankLost with the sentence of one that could not."""
        for other in self._others:
            other.expect("loaded")

    def close(self) -> None:
        with self._lock:
            if not self.over:
                self.over = "This model was closed; load it again."
                self._end(gently=self._leads)

    def _end(self, *, gently: bool) -> None:
        if gently:
            with suppress(RuntimeError):  # a rank that has died meanwhile
                self.send([["end"]])
        for other in self._others:
            other.end(END_S if gently else 0.0)
        with suppress(RuntimeError, ValueError):
            dist.destroy_process_group()
        self._forget()

    def _lost(self) -> str:
        """The sentence about a rank that has died, if one has."""
        for other in self._others:
            if (code := other.died(2.0)) is not None:
                said = other.said() or f"its process ended with code {code}"
                return f"Rank {other.rank} of {self.size} is gone ({said}), so all have ended; load the model again."
        return ""


class _LedCache(SharedCache):
    """The cache of rank 0."""

    def __init__(self, leader: Leader, *given: Any) -> None:
        super().__init__(*given)
        self._leader = leader

    def open_block(self) -> Block:
        with self._leader.noting("open"):
            return super().open_block()

    def freeze(self, block: Block) -> None:
        with self._leader.noting("freeze", block.id):
            super().freeze(block)

    def release(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        with self._leader.noting("release", [block.id for block in blocks]):
            super().release(blocks)

    def compact(self, blocks: Sequence[Block]) -> Block:
        with self._leader.noting("compact", [block.id for block in blocks]):
            return super().compact(blocks)

    def branch(self, block: Block, length: int, *, frozen: bool) -> Block:
        with self._leader.noting("branch", block.id, length, frozen):
            return super().branch(block, length, frozen=frozen)

    def cut(self, block: Block, length: int) -> None:
        with self._leader.noting("cut", block.id, length):
            super().cut(block, length)


class _Process:
    """Another rank on this machine. It ends with us: its standard input closes when this process is gone."""

    def __init__(self, rank: int, given: dict[str, Any]) -> None:
        self.rank = rank
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hogwild.follower", json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is rank 0's business
        )

    def expect(self, word: str) -> None:
        """Wait until it says so. Raises RankLost with what it says instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line or word not in (said := json.loads(line)):
            reason = said["error"] if line else f"its process ended with code {self._process.wait()}"
            raise RankLost(f"Rank {self.rank} could not be started: {reason}")

    def died(self, wait_s: float) -> int | None:
        """Its exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait_s)
        return None

    def said(self) -> str:
        """Its last words, once it has ended."""
        assert self._process.stdout is not None
        lines = self._process.stdout.read().splitlines()
        return str(json.loads(lines[-1]).get("error", "")) if lines else ""

    def end(self, wait_s: float) -> None:
        process = self._process
        with suppress(subprocess.TimeoutExpired):
            if wait_s:
                process.wait(wait_s)
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def start(size: int, directory: Path, dtype: str | torch.dtype, device: torch.device) -> Leader:
    """Start the other ranks on this machine and meet them; they go on to load their part of the model.

    Under torchrun they run already: rank 0 meets them, and the others do their work in here and then end.
    """
    _require_devices(size, device)
    if find_spec("accelerate") is None:
        raise HogwildError("Tensor parallel takes the package accelerate; pip install 'agent-workbench[tp]'.")
    if dist.is_initialized():
        raise HogwildError(
            "A process can hold one tensor-parallel model at a time; close the other engine first (Engine.close)."
        )
    given: dict[str, Any] = {
        "size": size,
        "device": device.type,
        "directory": str(directory.resolve()),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": max(1, torch.get_num_threads() // size),
    }
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _under_torchrun(given)
    folder, threads = tempfile.TemporaryDirectory(prefix="hogwild-"), torch.get_num_threads()

    def forget() -> None:
        folder.cleanup()
        torch.set_num_threads(threads)

    store = str(Path(folder.name) / "store")
    others: list[_Process] = []
    try:
        others.extend(_Process(rank, {**given, "store": store}) for rank in range(1, size))
        for other in others:
            other.expect("ready")
        meet(0, device.type, store=file_store(store, size), rank=0, world_size=size)
        torch.set_num_threads(given["threads"])  # the cores are shared
        return Leader(size, others, forget)
    except BaseException:
        for other in others:
            other.end(0.0)
        folder.cleanup()
        raise


def _under_torchrun(given: dict[str, Any]) -> Leader:
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size != given["size"]:
        raise HogwildError(
            f"torchrun has started {size} processes, and the model is to be shared out among {given['size']}; "
            "make the two numbers equal."
        )
    torch.set_num_threads(given["threads"])
    meet(int(os.environ["LOCAL_RANK"]), given["device"], init_method="env://")
    if rank == 0:
        return Leader(size, [], lambda: None)
    from hogwild.follower import follow

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal
    follow(Member(rank, size), given)
    raise SystemExit(0)


def meet(local_rank: int, device: str, **where: Any) -> None:
    """Join the process group. where: how `init_process_group` finds the others; on one machine, by a file."""
    before = os.environ.get("GLOO_SOCKET_IFNAME")
    if "store" in where:  # nothing listens beyond this machine
        os.environ["GLOO_SOCKET_IFNAME"] = before or "lo"
        where["store"].set_timeout(MEETING)
    try:
        if device == "cuda":
            torch.cuda.set_device(local_rank)
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=LOADING, **where)
    finally:
        if before is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)


def file_store(path: str, size: int) -> Any:
    """Where the processes of one machine meet."""
    return dist.FileStore(path, size)  # type: ignore[attr-defined]


def _require_devices(size: int, device: torch.device) -> None:
    """Raise HogwildError unless every rank can have a device of this kind."""
    if device.type == "cuda" and torch.cuda.device_count() < size:
        raise HogwildError(
            f"Tensor parallel over {size} processes needs as many CUDA devices and there are "
            f"{torch.cuda.device_count()}; ask for fewer."
        )
    if device.type == "cpu" and torch.cuda.is_available():  # transformers shards onto the accelerator that it finds
        raise HogwildError(
            "On a machine with a GPU, tensor parallel works on GPUs; choose device='cuda', or hide them with "
            "CUDA_VISIBLE_DEVICES=''."
        )


def _plain(value: Any) -> Any:
    """Arguments as JSON; `follower.py` reads them."""
    if isinstance(value, Feed):
        return [[block.id for block in value.view], list(value.tokens), value.own.length]
    if isinstance(value, Block):
        return [value.id, value.length, value.frozen]
    if isinstance(value, Tape):
        merged = [[new, parts] for new, parts in value.merged.items()]
        return [[astuple(chunk) for chunk in value.chunks], merged, value.num_steps]
    raise TypeError(f"{type(value).__name__} cannot be sent to other ranks")
