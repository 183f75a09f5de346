"""The place of a run that is written as a file: found out about before anything is done, written whole or not at all.

In: a path, a text. Out: the file, or one sentence that says what to do. Neighbours: `export` and `evaluate_report`
write here; the command line asks before a run begins.
"""

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from workbench.errors import UsageError, WorkbenchError

PAGES: Final = (".ipynb", ".html")


def checked(path: Path, also: tuple[str, ...] = ()) -> Path:
    """The file to write, links followed: a notebook, a page, or what ends in one of `also`. Raises UsageError where
    nothing can be written."""
    try:
        target = path.resolve()
        more = "".join(f", {one} for a trace" for one in also)
        if target.is_dir():
            raise UsageError(f"{path} is a folder: name a file in it, like {path / 'run.ipynb'}.")
        if path.suffix not in PAGES + also:
            raise UsageError(
                f"{path} would not open as a notebook: let its name end in .ipynb (or .html for a page{more})."
            )
        if not target.parent.is_dir():
            raise UsageError(f"There is no folder {path.parent}: make it first, or write somewhere else.")
        if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
            raise UsageError(f"{path} may not be overwritten: choose another name.")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise UsageError(f"Nothing may be written in {target.parent}: write somewhere else.")
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, a null character
        raise UsageError(f"{str(path)!r} cannot be written ({_reason(error)}): choose another place.") from error
    return target


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def write_whole(target: Path, text: str) -> None:
    """Beside its place first, then moved there: a reader sees the old file or the new one."""
    beside = target.with_name(f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkbenchError(f"The disk is full: free some space and export to {target.name} again.") from error
        raise UsageError(f"{target} cannot be written ({_reason(error)}): choose another place.") from error
    finally:
        beside.unlink(missing_ok=True)
