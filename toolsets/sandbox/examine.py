"""Which mechanisms can be put in force on this machine: each is tried in a process that is thrown away.

In: the folders that have to stay readable. Out: `Mechanisms`. Neighbours: `server` runs it when it is asked to, `probe`
then sees by attempts what the mechanisms stop together. Runs inside the server's bare interpreter.
"""

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from toolsets.sandbox import kernel
from toolsets.sandbox.lockdown import place_for_scratch
from toolsets.sandbox.mechanisms import PLAIN_PROCESS, Mechanisms
from toolsets.sandbox.seccomp import build_filter

FIRST_UID: Final = 0x7000_0000
"""User ids from here on are nobody's."""

_NOBODY: Final = 65534


def examine(readable: tuple[str, ...]) -> Mechanisms:
    """What works, each on its own; nothing on systems other than Linux."""
    if sys.platform != "linux":
        return PLAIN_PROCESS
    namespaces = _works(kernel.enter_namespaces)
    own_uid = _works_as_user(readable) if os.geteuid() == 0 else None
    own_namespace = own_uid is None and _works(_count_in_a_namespace)
    first_uid, keep_reading = own_uid or (0, False)
    version = kernel.landlock_version()
    return Mechanisms(
        landlock=version if version and _works(lambda: _restrict(readable)) else 0,
        seccomp=_works(_filter),
        namespaces=namespaces,
        own_count="uid" if own_uid else "namespace" if own_namespace else "",
        first_uid=first_uid,
        keep_reading=keep_reading,
        scratch=namespaces
        and version >= kernel.LANDLOCK_SCRATCH_VERSION
        and _works(lambda: _mount(readable, first_uid, own_namespace)),
    )


def _works(attempt: Callable[[], object]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _works_as_user(readable: tuple[str, ...]) -> tuple[int, bool] | None:
    """(user id, must keep the right to read) of the most harmless user under which Python still runs."""
    for keep_reading in (False, True):
        for uid in (FIRST_UID, _NOBODY):
            if _works(partial(_read_as, uid, keep_reading, readable)):
                return uid, keep_reading
    return None


def _read_as(uid: int, keep_reading: bool, readable: tuple[str, ...]) -> None:
    kernel.become(uid, keep_reading=keep_reading)
    for path in (*readable, *(path for path in (os.__file__, json.__file__) if path)):
        os.listdir(path) if os.path.isdir(path) else os.close(os.open(path, os.O_RDONLY))


def _count_in_a_namespace() -> None:
    """One thread more, and no second: before Linux 5.14 all of the user's count, and for root nothing does."""
    kernel.enter_user_namespace()
    kernel.set_capabilities(0)
    resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
    barrier = threading.Barrier(3)
    thread = threading.Thread(target=barrier.wait, daemon=True)
    thread.start()
    try:
        threading.Thread(target=barrier.wait, daemon=True).start()
    except RuntimeError:
        return
    raise OSError("RLIMIT_NPROC does not hold.")


def _restrict(readable: tuple[str, ...]) -> None:
    kernel.forbid_new_privileges()
    kernel.restrict_self(kernel.make_ruleset(readable, None))


def _filter() -> None:
    kernel.forbid_new_privileges()
    kernel.install_filter(build_filter(kernel.machine(), os.getpid(), threads=True, scratch=False))


def _mount(readable: tuple[str, ...], uid: int, own_namespace: bool) -> None:
    kernel.enter_namespaces()
    if own_namespace:
        kernel.enter_user_namespace()
    kernel.mount_scratch(place_for_scratch(readable), 1, uid or os.geteuid())
