"""Runs the tool's code inside the child of a call and writes one JSON object: its value or its error.

In: a request (prelude, source, function, arguments) on one descriptor. Out: the answer on another. Neighbours:
`lockdown` has run before, `answers` reads the answer and believes nothing in it. Whatever the code does to this module
it does to its own process, which ends with the call.
"""

import json
import os
import sys
import types
from datetime import date, datetime
from typing import Any, Final

from toolsets.sandbox.values import NotPlain, plain

TOOL_FILE: Final = "<tool>"
MAX_MESSAGE: Final = 2_000

# Hints are texts where the code says `from __future__ import annotations`.
_DAYS: Final[dict[str | type, type[date]]] = {
    **dict.fromkeys((date, "date", "datetime.date"), date),
    **dict.fromkeys((datetime, "datetime", "datetime.datetime"), datetime),
}
_BALLAST_BYTES: Final = 1 << 20
_NO_MEMORY: Final = b'{"error": {"type": "MemoryError", "message": "", "line": null}}'


def run_tool(request: int, result: int, max_result_bytes: int) -> None:
    """Read the request, run the code, write the answer, end the process."""
    ballast = [bytearray(_BALLAST_BYTES)]  # given back when memory is out, so that the error can still be told
    try:
        answer = _answer(json.loads(_read_all(request)), max_result_bytes)
    except MemoryError as error:
        ballast.clear()
        answer = _encoded(_described(error, kind="error"))
    except BaseException as error:
        answer = _encoded(_described(error, kind="error"))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue  # the code has closed or replaced it
    try:
        _write_all(result, answer)
    except MemoryError:
        _write_all(result, _NO_MEMORY)
    finally:
        os._exit(0)


def _answer(request: dict[str, Any], max_result_bytes: int) -> bytes:
    module = types.ModuleType("__tool__")
    sys.modules["__tool__"] = module
    exec(compile(request.get("prelude", ""), "<prelude>", "exec"), module.__dict__)
    exec(compile(request["source"], TOOL_FILE, "exec"), module.__dict__)
    function = module.__dict__.get(request["function"])
    if not callable(function):
        raise NameError(f"The code defines no function {request['function']!r}.")
    value = function(**{name: _as_hinted(function, name, item) for name, item in request["arguments"].items()})
    try:
        answer = _encoded({"value": plain(value)})
    except NotPlain as error:
        return _encoded(_described(error, kind="result"))
    if len(answer) > max_result_bytes:
        return _encoded({"too_long": len(answer)})
    return answer


def _as_hinted(function: Any, name: str, value: Any) -> Any:
    """A day or a moment, which comes in as a text, as the function's hint has it."""
    hint = getattr(function, "__annotations__", {}).get(name)
    wanted = _DAYS.get(hint if isinstance(hint, str | type) else "")
    if wanted is None or not isinstance(value, str):
        return value
    try:
        return wanted.fromisoformat(value)
    except ValueError:
        return value


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, allow_nan=False).encode()


def _described(error: BaseException, *, kind: str) -> dict[str, Any]:
    line = None if kind == "result" else _line(error)
    error.__traceback__ = None  # its frames hold the tool's memory
    try:
        message = str(error)[:MAX_MESSAGE]
    except BaseException:
        message = ""
    return {kind: {"type": type(error).__name__, "message": message, "line": line}}


def _line(error: BaseException) -> int | None:
    """The last line of the tool's own source that the error came through."""
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == TOOL_FILE:
            line = step.tb_lineno
        step = step.tb_next
    if line is None and isinstance(error, SyntaxError) and error.filename == TOOL_FILE:
        line = error.lineno
    return line


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
