"""Daemon threads for tools: a tool that never returns keeps neither the workbench nor the process from ending.

In: a function. Out: a Future. `concurrent.futures` joins its threads when the interpreter ends; these are left behind.
Neighbours: `session` and `evaluate` own one, `driver` submits calls.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class ToolThreads:
    """A thread for each call."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def submit(self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Future[Result]:
        """Run the function beside; its result or exception is the future's."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name=f"workbench-tool-{next(self._numbers)}", daemon=True).start()
        return future
