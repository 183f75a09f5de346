"""LLMCompiler's numbered grammar: `1. search("Rome")`, `2. add(a=$1, b=${1})`, thoughts between the lines, `join()`.

In: text, in pieces; a call is known when its bracket closes. Out: a plan whose ids are the numbers; nothing after
`join()` belongs to it. Mended: a bracket or a quote that was forgotten at the end of a line costs only its own call.
After LLMCompiler (arXiv 2312.04511, section 3). Neighbours: `calls` reads the arguments. Pure.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from toolsets.diagnostics import Diagnostic
from toolsets.errors import PlanError
from toolsets.fronts.calls import CallEnd, read_arguments
from toolsets.fronts.front import Found, Front, Ids, syntax_error
from toolsets.fronts.json_calls import json_text
from toolsets.fronts.references import reference_text, write_text
from toolsets.parse import MAX_CALL
from toolsets.plan import Plan, PlannedCall, Ref, Template

_TASK: Final = re.compile(
    r"[ \t]{0,40}(?:[-*•][ \t]{1,8})?(?:\*\*)?(?:Action[ \t]{0,4}:?[ \t]{0,4})?"
    r"(?P<id>[0-9]{1,6})[ \t]{0,4}[.):][ \t]{0,8}(?P<tool>[^\W\d][\w.:/-]{0,100})[ \t]{0,4}(?=\()"
)
_JOIN: Final = re.compile(r"[ \t]{0,40}join\([ \t]{0,8}\)")
_END: Final = "<END_OF_PLAN>"
_STOP: Final = re.compile(rf"[ \t]{{0,40}}(?:Thought\b|Observation\b|{_END}|```|join\()")
_LINE: Final = re.compile(rf"^(?P<space>[ \t]{{0,40}})(?:(?:{_TASK.pattern})|{_JOIN.pattern}|{_END})", re.MULTILINE)
_PREFIX: Final = 300
"""Characters of a line in which a task must have begun."""

_FORM: Final = "1. tool(name=value, other=$1)"
_NAME: Final = re.compile(r"[^\W\d]\w*")
_TOOL: Final = re.compile(r"[^\W\d][\w.:/-]{0,100}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,5}")


@dataclass(slots=True)
class _Task:
    id: str
    tool: str
    start: int
    """Where the line's task begins in the pending text."""
    bracket: int
    line: int
    too_long: bool = False
    end: CallEnd = field(default_factory=CallEnd)


class LlmCompilerParser:
    """Reads numbered calls."""

    def __init__(self, earlier: Collection[str] = ()) -> None:
        self.joins = False
        self._ids = Ids(earlier)
        self._text = ""
        self._at = 0
        self._line = 1
        self._task: _Task | None = None
        self._in_prose = False
        self._done = False

    @property
    def inside(self) -> bool:
        return self._task is not None or self._in_prose or self._at < len(self._text)

    @property
    def ended(self) -> bool:
        return self._done

    def feed(self, text: str) -> Found:
        self._text += text
        return self._scan(last=False)

    def finish(self) -> Found:
        found = self._scan(last=True)
        if self._task is not None and not self._task.too_long:
            found.append(self._broken(self._task, "The call does not end: close it with )."))
        self._done = True
        return found

    def _scan(self, last: bool) -> Found:
        found: Found = []
        while not self._done and self._at < len(self._text):
            before = (self._at, self._task)
            if self._task is not None:
                self._in_task(self._task, last, found)
            elif self._in_prose:
                self._skip_line()
            else:
                self._line_begins(last)
            if before == (self._at, self._task) and not self._in_prose:
                break
        self._forget()
        return found

    def _line_begins(self, last: bool) -> None:
        """Decide what the line is; wait where that is not known yet."""
        task = _TASK.match(self._text, self._at)
        if task:
            self._move(task.end())
            self._task = _Task(str(int(task["id"])), task["tool"], task.start(), task.end(), self._line)
        elif _JOIN.match(self._text, self._at):
            self.joins = self._done = True
        elif self._text.startswith(_END, self._at):
            self._done = True
        else:
            self._in_prose = last or self._line_decided(self._at)

    def _line_decided(self, at: int) -> bool:
        return "\n" in self._text[at : at + _PREFIX] or len(self._text) - at >= _PREFIX

    def _skip_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._in_prose = end < 0
        self._move(len(self._text) if end < 0 else end + 1)

    def _in_task(self, task: _Task, last: bool, found: Found) -> None:
        at, why = task.end.scan(self._text, self._at, last)
        if at - task.bracket > MAX_CALL and not task.too_long:
            # Its brackets are followed all the same: what stands in a text inside it must not be taken for a call.
            task.too_long = True
            found.append(self._broken(task, f"The call is longer than {MAX_CALL:,} characters: write a shorter one."))
        self._move(at)
        if why == "closed":
            self._complete(task, found)
        elif why == "line":
            self._at_line_break(task, last, found)

    def _at_line_break(self, task: _Task, last: bool, found: Found) -> None:
        """A call may run over several lines, but a new call or a thought on the next line means that it has ended."""
        follower = _TASK.match(self._text, self._at + 1)
        if follower:
            # Inside a text it is a new call only if it is the very next one: the quote was forgotten.
            new = not task.end.quote or int(follower["id"]) == int(task.id) + 1
        elif not last and not self._line_decided(self._at + 1):
            return
        else:
            new = not task.end.quote and _STOP.match(self._text, self._at + 1) is not None
        if new:
            self._complete(task, found)
        else:
            self._move(self._at + 1)

    def _complete(self, task: _Task, found: Found) -> None:
        self._task = None
        if task.too_long:
            return
        try:
            arguments = read_arguments(self._text[task.bracket : self._at].rstrip())
        except ValueError as error:
            found.append(self._broken(task, f"The call cannot be read ({error}): write {_FORM}."))
            return
        if task.tool == "join" and not arguments:
            self.joins = self._done = True
            return
        raw = self._text[task.start : self._at].strip()
        found.append(PlannedCall(task.id, task.tool, self._ids.read(arguments), task.line, raw))
        self._ids.claim(task.id)

    def _broken(self, task: _Task, message: str) -> Diagnostic:
        self._ids.claim(task.id)
        return syntax_error(message, task.line, task.id, _FORM, self._text[task.start : self._at].strip())

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _forget(self) -> None:
        kept = self._at if self._task is None or self._task.too_long else self._task.start
        self._text, self._at = self._text[kept:], self._at - kept
        if self._task is not None:
            self._task.bracket -= kept
            self._task.start -= kept


def render(plan: Plan) -> str:
    """One numbered line for each call, and `join()` where the plan asks for the results."""
    lines = []
    known: set[str] = set()
    for call in plan:
        if not _NUMBER.fullmatch(call.id) or not _TOOL.fullmatch(call.tool) or call.after:
            raise PlanError(
                f"Call {call.id} of {call.tool} cannot be a numbered line: number it, name a plain tool, and refer to "
                "the results that it waits for."
            )
        arguments = ", ".join(f"{_key(key)}={_value(value, known)}" for key, value in call.arguments.items())
        lines.append(f"{call.id}. {call.tool}({arguments})")
        known.add(call.id)
    return "\n".join([*lines, "join()"] if plan.joins else lines)


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else json_text(name)


def _value(value: Any, known: Collection[str]) -> str:
    if isinstance(value, Ref):
        return reference_text(value)
    if isinstance(value, str | Template):
        return json_text(write_text(value, known))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item, known) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_text(key)}: {_value(item, known)}" for key, item in value.items()) + "}"
    return json_text(value)


def starts(text: str) -> list[int]:
    """Where a line could be read as a call, as join() or as the end of the plan."""
    return [match.end("space") for match in _LINE.finditer(text)]


FRONT: Final = Front("llmcompiler", LlmCompilerParser, render, starts)
