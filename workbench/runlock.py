"""Who is writing a run: a lock that dies with its process.

In: a path. Out: a held lock, or whether anybody holds it. The system drops it when the process ends in any way, so a
run that says it is running while nobody holds its lock was interrupted.
Neighbours: the run log, which keeps one lock file per running run.
"""

import fcntl
import os
import weakref
from pathlib import Path


class RunLock:
    """Held from its making until `release`; raises BlockingIOError when somebody else holds it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        # flock, not lockf: a lockf lock is lost as soon as this process closes the file anywhere, and `is_held` does.
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            self._close()
            raise
        _held.add(self)

    def release(self) -> None:
        """Let go, and remove the file; again is harmless."""
        if self._descriptor is not None:
            # First removed, then let go: nobody finds a free lock that is about to vanish.
            self._path.unlink(missing_ok=True)
            self._close()
            _held.discard(self)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @staticmethod
    def close_inherited() -> None:
        """In a forked child: it shares the parent's lock, and would keep it held after the parent's death."""
        for lock in list(_held):
            lock._close()
        _held.clear()


def is_held(path: Path) -> bool:
    """Whether a living process, this one included, holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_held: "weakref.WeakSet[RunLock]" = weakref.WeakSet()
os.register_at_fork(after_in_child=RunLock.close_inherited)
