"""Single keys from a terminal, while a picture is shown: a person's word about a call that asks for one.

In: a terminal's input. Out: each key, to a function, in a thread of its own. Where the input is no terminal, or not
this program's to read, nothing happens. The terminal is left as it was found. Neighbours: `approving` answers.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|\x1b|.", re.DOTALL)
"""An arrow or the like, which a terminal sends as several characters; Escape; or one character."""
POLL_S: Final = 0.2
"""How soon the thread sees that it shall end."""


def is_interactive() -> bool:
    """Whether a person sits at both ends: keys can be read, and what is asked can be seen."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stdout)


@contextlib.contextmanager
def keys(pressed: Callable[[str], object]) -> Iterator[None]:
    """Within the block, `pressed` gets every key, arrows and the like as one; Ctrl-C stays what it is."""
    if not _is_terminal(sys.stdin):
        yield
        return
    import termios
    import tty

    place = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(place)
        tty.setcbreak(place)
    except termios.error:  # in the background, or a terminal that has gone away
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_read, args=(place, ended, pressed), name="workbench-keys", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(4 * POLL_S)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(place, termios.TCSADRAIN, before)


def _read(place: int, ended: threading.Event, pressed: Callable[[str], object]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    while not ended.is_set():
        ready, _, _ = select.select([place], [], [], POLL_S)
        if not ready:
            continue
        try:
            read = os.read(place, 64)
        except OSError:
            return
        if not read:
            return
        for key in _KEY.findall(decoder.decode(read)):
            pressed(key)


def _is_terminal(stream: object) -> bool:
    try:
        return bool(getattr(stream, "isatty", lambda: False)())
    except ValueError:  # closed
        return False
