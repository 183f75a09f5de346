"""Reads a text that a person names on the command line: a file, or - for the input.

In: a path. Out: the text, or `UsageError` with one sentence. Neighbours: `cli` and `plan_command`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.errors import UsageError


def read_text(file: Path, what: str) -> str:
    """what: `a task`, `a plan`: what the file should hold."""
    if str(file) == "-":
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise UsageError("The input is not UTF-8 text: give plain text.") from error
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: give a plain text file.") from error
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror}): give the path of a text file with {what}."
        ) from error
