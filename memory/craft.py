"""CRAFT's tools (arXiv 2309.17428; the tables of its public toolsets) as rows of the library.

In: a CSV with the columns `question, answer, code, api_call, tool, tool_call` and others, which are kept. Out: proposed
tools: `tool` is the code, `question` its problem with the `answer`, `tool_call` the call that solves it, `code` and
`api_call` the specific solution that it was made from. Lines with the same code are one tool with several problems.
Where the code defines several functions, the tool is the one that `tool_call` uses, and the provenance says so; the
others stay in the code as its helpers.
Neighbours: imports plans what is read here, craft_folder evaluates retrieval on it.
"""

import ast
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from memory.concepts import unique_problems
from memory.content import checked, functions_of, parsed
from memory.errors import ContentRefused, ImportRefused
from memory.values import Snapshot

_NEEDED: Final = ("question", "tool")
# column -> field of the problem
_PROBLEM_FIELDS: Final = {
    "answer": "answer",
    "table": "table",
    "tool_call": "call",
    "code": "solution",
    "api_call": "solution_call",
}
_FIELD_LIMIT: Final = 10_000_000


def read_csv(path: Path) -> list[Snapshot]:
    """The tools of a CSV file; raises ImportRefused with the line where it is malformed."""
    tools: dict[tuple[str, str], Snapshot] = {}
    for line, fields in read_records(path):
        try:
            name, note = _chosen(fields["tool"], fields.get("tool_call") or "")
            content = _tool(name, fields)
        except ContentRefused as error:
            raise ImportRefused(f"{path}, line {line}: {error} Nothing was imported.") from error
        known = tools.get((content["code"], name))
        if known is not None:
            content = {**known.content, "problems": unique_problems([*known.content["problems"], *content["problems"]])}
            provenance = known.provenance
        else:
            provenance = {"source": path.name, "line": line, "format": "CRAFT", **({"note": note} if note else {})}
        tools[content["code"], name] = Snapshot("tool", content, provenance=provenance)
    return list(tools.values())


def read_records(path: Path, needed: Sequence[str] = _NEEDED) -> list[tuple[int, dict[str, str]]]:
    """The file's records, each with the line that it ends in; every record has every column, and these at least."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"The file {path} cannot be read ({error}): name a CSV file in UTF-8.") from error
    previous = csv.field_size_limit(_FIELD_LIMIT)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        named = list(reader.fieldnames or ())
        if twice := [column for column in dict.fromkeys(named) if named.count(column) > 1]:
            raise ImportRefused(f"The head of {path} names {twice[0]!r} twice: give each column a name of its own.")
        missing = [column for column in needed if column not in named]
        if missing:
            raise ImportRefused(
                f"The file {path} lacks {' and '.join(missing)}: its head must name at least {' and '.join(needed)}."
            )
        records = []
        for record in reader:
            if None in record or None in record.values():
                amount = "more" if None in record else "fewer"
                raise ImportRefused(
                    f"{path}, line {reader.line_num} has {amount} fields than the head of the file: nothing was taken."
                )
            records.append((reader.line_num, record))
        return records
    except csv.Error as error:
        raise ImportRefused(
            f"{path}, line {reader.reader.line_num} is no CSV ({error}): nothing was imported."
        ) from error
    finally:
        csv.field_size_limit(previous)


def tool_name(code: str) -> str:
    """Which function of a CRAFT tool is the tool: the first one; what follows are its helpers."""
    names = functions_of(code)
    if not names:
        raise ContentRefused("The tool's code defines no function: write it as `def name(...)` at the top.")
    return names[0]


def _chosen(code: str, call: str) -> tuple[str, str]:
    """Which function of the code is the tool, and, where there was a choice, what was chosen and why."""
    first, functions = tool_name(code), functions_of(code)
    if len(set(functions)) == 1:
        return first, ""
    used = _outermost_called(call, functions)
    why = "which its call uses" if used else "the first one, because no call of one of them is given"
    return used or first, f"of {', '.join(functions)} in its code, {used or first} is the tool, {why}"


def _outermost_called(call: str, functions: Sequence[str]) -> str | None:
    """The function that the last statement of a call calls, before those inside its arguments; None without one."""
    try:
        statements = parsed(call.strip()).body
    except ContentRefused:
        return None
    for statement in reversed(statements):
        for node in ast.walk(statement):  # breadth first: what is called comes before what is passed to it
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
                return node.func.id
    return None


def _tool(name: str, fields: dict[str, str]) -> dict[str, Any]:
    problem = {"text": fields["question"]}
    problem.update({field: fields[column] for column, field in _PROBLEM_FIELDS.items() if fields.get(column)})
    rest = {
        column: value
        for column, value in fields.items()
        if value and column not in _PROBLEM_FIELDS and column not in _NEEDED
    }
    if rest:
        problem["fields"] = rest  # type: ignore[assignment]
    return checked("tool", {"name": name, "code": fields["tool"], "problems": [problem]})
