"""Runs tools whose code nobody vouches for: each call in a locked-down process of its own.

In: source, the name of a function, JSON arguments. Out: an `Outcome`. Neighbours: `probe` says how well this machine
isolates, `client` and `exchange` talk to the fork servers, `answers` reads what comes back. An executor calls `call`;
`call_sync` does the same on the caller's own thread.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
import anyio.to_thread

from toolsets.errors import ArgumentError
from toolsets.sandbox.answers import read_answer
from toolsets.sandbox.client import ForkServer
from toolsets.sandbox.errors import IsolationError, SandboxError
from toolsets.sandbox.exchange import Exchange, Raw, ServerGone
from toolsets.sandbox.isolation import PROCESS_ONLY, Isolation
from toolsets.sandbox.limits import Limits
from toolsets.sandbox.outcome import Fault, Outcome
from toolsets.sandbox.probe import probe

MAX_CALLS: Final = 32
"""Calls of one event loop that run at once; more wait for their turn, their clock not yet started."""

_MAX_REQUEST: Final = 64 << 20
_STARTS_PER_CALL: Final = 3

_turns: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("sandbox turns")


class Sandbox:
    """limits: of each call that brings none of its own. warm: how many fork servers are kept ready; with 0 every call
    starts an interpreter. preload: modules that the servers import beforehand, with the person's own rights, so that
    tools have them for nothing. isolation: what `probe` found, unless given. Safe to use from many tasks and threads.

    >>> with Sandbox() as sandbox:
    ...     sandbox.call_sync("def double(x): return 2 * x", "double", {"x": 21}).value
    42
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        warm: int = 1,
        preload: Sequence[str] = (),
        isolation: Isolation | None = None,
    ) -> None:
        if warm < 0:
            raise SandboxError(f"warm is the number of servers kept ready: give 0 or more, not {warm}.")
        self.limits = limits or Limits()
        self._warm = warm
        self._preload = tuple(preload)
        self._isolation = isolation
        self._lock = threading.Lock()
        self._servers: list[ForkServer] = []
        self._exchanges: set[Exchange] = set()
        self._closed = False
        self._pid = os.getpid()

    @property
    def isolation(self) -> Isolation:
        """How a call is isolated here; the first look takes a moment."""
        if self._isolation is None:
            self._isolation = probe()
        return self._isolation

    def start(self) -> None:
        """Start the warm servers now rather than with the first call."""
        if self.isolation.isolated and self._warm:
            with self._lock:
                self._fill()

    async def call(
        self,
        source: str,
        function: str,
        arguments: Mapping[str, Any],
        *,
        limits: Limits | None = None,
        unsafe: bool = False,
        prelude: str = "",
    ) -> Outcome:
        """Run one function of the source. Cancelled, it kills the child and ends when the child is dead.

        unsafe: the person lets this tool run where the machine cannot isolate; where it can, nothing changes. prelude:
        code to run before the source, whose lines are counted without it. Raises IsolationError, SandboxError, or
        ArgumentError for arguments that are no JSON; what the code does is data.
        """
        limits, exchange = self._prepare(source, function, arguments, limits, prelude)
        try:
            turns = _turns.get()
        except LookupError:
            turns = anyio.CapacityLimiter(MAX_CALLS)
            _turns.set(turns)

        async with turns:
            return await _in_thread(lambda: self._run(source, exchange, limits, unsafe), on_cancel=exchange.cancel)

    def call_sync(
        self,
        source: str,
        function: str,
        arguments: Mapping[str, Any],
        *,
        limits: Limits | None = None,
        unsafe: bool = False,
        prelude: str = "",
        begun: Callable[[Callable[[], object]], object] = lambda end: None,
    ) -> Outcome:
        """The same, on this thread; ctrl-C kills the child. begun: told how any other thread can end it."""
        limits, exchange = self._prepare(source, function, arguments, limits, prelude)
        begun(exchange.cancel)
        return self._run(source, exchange, limits, unsafe)

    def close(self) -> None:
        """End every call and every server; nothing is left running."""
        with self._lock:
            self._closed = True
            servers, self._servers = self._servers, []
            for exchange in self._exchanges:
                exchange.cancel()
        for server in servers:
            server.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    # ------------------------------------------------------------------------------------------------------- inside

    def _prepare(
        self, source: str, function: str, arguments: Mapping[str, Any], limits: Limits | None, prelude: str
    ) -> tuple[Limits, Exchange]:
        limits = limits or self.limits
        try:
            request = json.dumps(
                {"prelude": prelude, "source": source, "function": function, "arguments": dict(arguments)},
                allow_nan=False,
            ).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ArgumentError(
                f"The arguments of {function} cannot be written as JSON ({error}): use plain values."
            ) from error
        if len(request) > _MAX_REQUEST:
            raise ArgumentError(f"The arguments of {function} are larger than {_MAX_REQUEST >> 20} MB: pass less.")
        return limits, Exchange(request, limits)

    def _run(self, source: str, exchange: Exchange, limits: Limits, unsafe: bool) -> Outcome:
        isolation = self._allowed(limits, unsafe)
        with self._lock:
            self._refuse_if_closed()
            self._exchanges.add(exchange)
        try:
            raw = self._through_a_server(exchange, isolation)
        except BaseException:
            exchange.cancel()
            raise
        finally:
            with self._lock:
                self._exchanges.discard(exchange)
        if exchange.cancelled:
            fault = Fault("ended", "Cancelled", "The call was cancelled.")
            return Outcome(None, fault, "", raw.wall_s, isolation)
        return read_answer(raw, limits, source, isolation)

    def _allowed(self, limits: Limits, unsafe: bool) -> Isolation:
        """The isolation that a call will have; raises where that is none and nobody has allowed it."""
        isolation = self.isolation
        if not isolation.isolated:
            if not unsafe:
                raise IsolationError(
                    "This machine cannot isolate code, so the tool was not run: allow this tool if you trust its code "
                    "(--unsafe-tool NAME, in Python unsafe=True), or run on Linux with Landlock and seccomp."
                )
            isolation = PROCESS_ONLY
        if limits.scratch_mb and not isolation.mechanisms.scratch:
            raise SandboxError("A scratch directory of a fixed size cannot be made here: set scratch_mb=0.")
        return isolation

    def _through_a_server(self, exchange: Exchange, isolation: Isolation) -> Raw:
        for _ in range(_STARTS_PER_CALL):
            with self._server(isolation) as server:
                try:
                    return server.run(exchange)
                except ServerGone:
                    server.close()  # buried, so that it is seen to be dead and replaced
        raise SandboxError(
            "The sandbox's server ended three times before the call began: look at the machine's memory."
        )

    @contextlib.contextmanager
    def _server(self, isolation: Isolation) -> Iterator[ForkServer]:
        if not self._warm or not isolation.isolated:
            # Without isolation the code could reach its server, so nobody else's call may share one.
            server = ForkServer(isolation.mechanisms, self._preload)
            try:
                yield server
            finally:
                server.close()
            return
        with self._lock:
            self._refuse_if_closed()
            self._fill()
            server = min(self._servers, key=lambda server: server.in_flight)
            server.in_flight += 1
        try:
            yield server
        finally:
            with self._lock:
                server.in_flight -= 1

    def _fill(self) -> None:
        """Replace dead servers. The lock is held: two calls must not start two servers for one place."""
        if self._pid != os.getpid():
            # A fork of the caller: the servers are the parent's, and two must not talk on one socket.
            self._pid, self._servers = os.getpid(), []
        for server in self._servers:
            if not server.alive:
                server.close()
        self._servers = [server for server in self._servers if server.alive]
        while len(self._servers) < self._warm:
            self._servers.append(ForkServer(self.isolation.mechanisms, self._preload))

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SandboxError("The sandbox is closed: open a new one.")


async def _in_thread(work: Callable[[], Outcome], on_cancel: Callable[[], None]) -> Outcome:
    """Run blocking work that `on_cancel` ends at once; when this returns or raises, the work has ended."""
    done: list[Outcome] = []
    errors: list[Exception] = []

    def keep() -> None:
        try:
            done.append(work())
        except Exception as error:  # carried past the task group, which would wrap it
            errors.append(error)

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            on_cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        # Shielded: the thread is never abandoned; a cancellation reaches it through the watching task.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(keep, limiter=anyio.CapacityLimiter(1))
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return done[0]
