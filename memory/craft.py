"""CRAFT's tools (arXiv 2309.17428; the tables of its public toolsets) as rows of the library.

In: a CSV with the columns `question, answer, code, api_call, tool, tool_call` and others, which are kept. Out: proposed
tools: `tool` is the code, `question` its problem with the `answer`, `tool_call` the call that solves it, `code` and
`api_call` the specific solution that it was made from. Lines with the same code are one tool with several problems.
Neighbours: imports plans what is read here, craft_folder evaluates retrieval on it.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from memory.concepts import unique_problems
from memory.content import checked, functions_of
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
    tools: dict[str, Snapshot] = {}
    for line, fields in read_records(path):
        try:
            content = _tool(fields)
        except ContentRefused as error:
            raise ImportRefused(f"{path}, line {line}: {error} Nothing was imported.") from error
        known = tools.get(content["code"])
        if known is not None:
            content = {**known.content, "problems": unique_problems([*known.content["problems"], *content["problems"]])}
        provenance = known.provenance if known is not None else {"source": path.name, "line": line, "format": "CRAFT"}
        tools[content["code"]] = Snapshot("tool", content, provenance=provenance)
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
        missing = [column for column in needed if column not in (reader.fieldnames or ())]
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


def _tool(fields: dict[str, str]) -> dict[str, Any]:
    problem = {"text": fields["question"]}
    problem.update({field: fields[column] for column, field in _PROBLEM_FIELDS.items() if fields.get(column)})
    rest = {
        column: value
        for column, value in fields.items()
        if value and column not in _PROBLEM_FIELDS and column not in _NEEDED
    }
    if rest:
        problem["fields"] = rest  # type: ignore[assignment]
    code = fields["tool"]
    return checked("tool", {"name": tool_name(code), "code": code, "problems": [problem]})
