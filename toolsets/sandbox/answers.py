"""From a raw answer to an `Outcome`: what the code wrote is read with suspicion, what happened is the server's word.

In: `Raw`, the limits, the source. Out: `Outcome`. Pure. The code can write whatever it likes into the channel of its
result, but only in place of its own value or error: which limit was hit, how long it took and how it was isolated are
said by this side.
"""

import errno
import json
import signal
from typing import Any, Final

from toolsets.sandbox.exchange import Raw
from toolsets.sandbox.isolation import Isolation
from toolsets.sandbox.limits import Limits
from toolsets.sandbox.outcome import Fault, Outcome
from toolsets.sandbox.values import NotPlain, read_json
from toolsets.sandbox.wire import SET_UP_FAILED

_MAX_MESSAGE: Final = 2_000
_MAX_TYPE: Final = 100
_NO_THREAD: Final = "can't start new thread"
_NO_MEMORY: Final = f"[Errno {errno.ENOMEM}]"  # what mmap says in place of MemoryError


def read_answer(raw: Raw, limits: Limits, source: str, isolation: Isolation) -> Outcome:
    """The outcome of a call that ended by itself, by a limit, or with its server."""
    hit: list[str] = []
    value, fault = _value_or_fault(raw, limits, source, hit)
    output_cap = limits.output_kb * 1024
    if len(raw.output) > output_cap:
        hit.append(limits.named("output"))
    stdout = raw.output[:output_cap].decode(errors="replace")
    return Outcome(value, fault, stdout, raw.wall_s, isolation, tuple(hit))


def _value_or_fault(raw: Raw, limits: Limits, source: str, hit: list[str]) -> tuple[Any, Fault | None]:
    if not raw.status:
        return None, Fault("lost", "SandboxLost", "The sandbox's server ended during the call: call again.")
    status = json.loads(raw.status)
    if "failed" in status:
        return None, Fault("lost", "SandboxLost", f"No process could be started for the call ({status['failed']}).")
    if status["timed_out"]:
        return None, _limited("time", "TimeLimit", limits, hit)
    code = status["code"]
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and status["cpu_s"] >= limits.cpu_s):
        return None, _limited("cpu", "CPUTimeLimit", limits, hit)
    if len(raw.answer) > limits.result_kb * 1024:
        return None, _limited("result", "ResultLimit", limits, hit)
    if code == SET_UP_FAILED and not raw.answer:
        return None, Fault("lost", "SandboxLost", raw.output.decode(errors="replace")[:_MAX_MESSAGE])
    if not raw.answer:
        return None, Fault("ended", "Ended", _ending(code))
    try:
        answer = read_json(raw.answer)
    except NotPlain as error:
        return None, _forged(str(error))
    return _read(answer, limits, source, hit)


def _read(answer: Any, limits: Limits, source: str, hit: list[str]) -> tuple[Any, Fault | None]:
    match answer:
        case {"value": value} if len(answer) == 1:
            return value, None
        case {"too_long": int()} if len(answer) == 1:
            return None, _limited("result", "ResultLimit", limits, hit)
        case {"result": {"message": str(message)}} if len(answer) == 1:
            return None, Fault("result", "NotJSON", message[:_MAX_MESSAGE])
        case {"error": {"type": str(name), "message": str(message), "line": None | int() as line}} if len(answer) == 1:
            if name == "MemoryError":
                return None, _limited("memory", "MemoryLimit", limits, hit, line, source)
            if _NO_THREAD in message:
                hit.append(limits.named("threads"))
            if message.startswith(_NO_MEMORY):
                hit.append(limits.named("memory"))
            text = _source_line(source, line)
            return None, Fault("error", name[:_MAX_TYPE], message[:_MAX_MESSAGE], line if text else None, text)
    return None, _forged("it holds neither a value nor an error")


def _limited(limit: str, name: str, limits: Limits, hit: list[str], line: int | None = None, source: str = "") -> Fault:
    words = limits.named(limit)
    hit.append(words)
    text = _source_line(source, line)
    return Fault("limit", name, f"The code was stopped at its {words}.", line if text else None, text)


def _source_line(source: str, line: int | None) -> str | None:
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as Python counts them
    return lines[line - 1].strip()[:200] if line is not None and 1 <= line <= len(lines) else None


def _forged(reason: str) -> Fault:
    words = f"The code has written into the channel of its own result: {reason.rstrip('.')}."
    return Fault("result", "BrokenResult", words)


def _ending(code: int) -> str:
    if code >= 0:
        return f"The code ended its process without a result (exit status {code})."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"The code's process was ended by {name} without a result."
