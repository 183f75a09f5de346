"""Reads a text that a person names on the command line: a file, or - for the input.

In: a path. Out: the text, or `UsageError` with one sentence. Neighbours: `cli`, `plan_command`, `library_commands`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from workbench.errors import UsageError

MOST_BYTES: Final = 16 * 2**20
"""No task, plan or row is longer; what never ends (a device, an endless pipe) is read no further."""


def read_text(file: Path, what: str) -> str:
    """what: `a task`, `a plan`: what the file should hold."""
    if str(file) == "-":
        try:
            text = sys.stdin.read(MOST_BYTES + 1)
        except UnicodeDecodeError as error:
            raise UsageError("The input is not UTF-8 text: give plain text.") from error
        _check_length(len(text), "The input", what)
        return text.removeprefix("\ufeff")
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        _check_length(len(raw), str(file), what)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: give a plain text file.") from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror}): give the path of a text file with {what}."
        ) from error


def _check_length(length: int, whose: str, what: str) -> None:
    if length > MOST_BYTES:
        raise UsageError(f"{whose} is longer than {MOST_BYTES // 2**20} MB: give a text file with {what}.")
