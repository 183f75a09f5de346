"""A folder in CRAFT's format (arXiv 2309.17428) as evaluation sets.

In: a folder with `5_deduplicated_tools.csv` and the tables of tools before deduplication (`4_valid_tools.csv`, there or
in `epoch_*/`). Out: two sets, without and with the siblings' problems. The final tools are to be found; the queries are
the problems whose tools were deduplicated away; right are the final tools of the same function name.
Neighbours: craft reads the tables, evaluation asks.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final

from memory.content import checked, tool_facts
from memory.craft import read_records, tool_name
from memory.errors import ContentRefused, ImportRefused
from memory.evaluation_set import Asked, EvaluationSet, Shelved
from memory.shelf import Query
from memory.views import views_of

FINAL: Final = "5_deduplicated_tools.csv"
VALID: Final = "4_valid_tools.csv"


def craft_sets(folder: Path) -> list[EvaluationSet]:
    """The folder's tools as they were published, and with the problems of their siblings."""
    if not (folder / FINAL).is_file():
        raise ImportRefused(f"The folder {folder} has no {FINAL}: name a folder that CRAFT's pipeline made.")
    valid = [folder / VALID] if (folder / VALID).is_file() else sorted(folder.glob(f"epoch_*/{VALID}"))
    if not valid:
        raise ImportRefused(
            f"The folder {folder} has no {VALID}, in it or in its epoch_* folders: nothing can be asked."
        )
    finals = [(_name(folder / FINAL, line, fields["tool"]), fields) for line, fields in read_records(folder / FINAL)]
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for number, (name, _) in enumerate(finals):
        by_name[name].append(f"{number}")
    known = {fields["question"] for _, fields in finals}
    queries: list[Asked] = []
    siblings: defaultdict[str, list[str]] = defaultdict(list)
    for path in valid:
        for line, fields in read_records(path):
            name = _name(path, line, fields["tool"])
            if fields["question"] not in known and name in by_name:
                queries.append(Asked(_query(fields), frozenset(by_name[name])))
                siblings[name].append(fields["question"])
    return [
        EvaluationSet(f"{folder.name}, as published", "tool", _rows(finals, {}), tuple(queries)),
        EvaluationSet(f"{folder.name}, siblings' problems kept", "tool", _rows(finals, siblings), tuple(queries)),
    ]


def _rows(finals: list[tuple[str, dict[str, str]]], siblings: dict[str, list[str]]) -> tuple[Shelved, ...]:
    rows = []
    for number, (name, fields) in enumerate(finals):
        problems = dict.fromkeys([fields["question"], *siblings.get(name, ())])
        content = checked("tool", {"name": name, "code": fields["tool"], "problems": list(problems)})
        rows.append(Shelved(f"{number}", "tool", views_of("tool", content)))
    return tuple(rows)


def _query(fields: dict[str, str]) -> Query:
    """The task, and what its specific solution is called and says: what a model would expect of a tool."""
    code = fields.get("code") or ""
    try:
        facts = tool_facts(code, tool_name(code))
    except ContentRefused:
        return Query(fields["question"])
    return Query(fields["question"], (facts.name,), (facts.first_line,) if facts.first_line else ())


def _name(path: Path, line: int, code: str) -> str:
    try:
        return tool_name(code)
    except ContentRefused as error:
        raise ImportRefused(f"{path}, line {line}: {error}") from error
