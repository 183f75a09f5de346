"""Python files and skills as rows of the library.

In: a .py file, a folder of them, or a folder with a SKILL.md. Out: proposed rows: each public function of a file is a
tool (whose code is the whole file, so that its imports and helpers stay with it); a skill is an open-ended concept (its
description is the situation, its text the suggestion) and its scripts are tools under its tag. Files are parsed, never
run. Neighbours: imports plans what is read here, content checks it.
"""

from pathlib import Path
from typing import Any, Final

from memory.content import checked, public_functions_of
from memory.errors import ContentRefused, ImportRefused
from memory.values import Snapshot
from memory.yaml_text import YamlRefused, read_yaml

MAX_FILES: Final = 10_000
_FENCE: Final = "---"


def read_python_folder(folder: Path) -> list[Snapshot]:
    """The tools of all .py files in a folder and its folders; raises ImportRefused with the file that is malformed."""
    paths = _python_files(folder)
    if len(paths) > MAX_FILES:
        raise ImportRefused(f"The folder {folder} has more than {MAX_FILES} Python files: name a smaller one.")
    tools = [tool for path in paths for tool in _tools(path, path.relative_to(folder))]
    if not tools:
        raise ImportRefused(f"The folder {folder} has no .py file with a public function: name a folder that has one.")
    return tools


def read_python_file(path: Path) -> list[Snapshot]:
    """The tools of one .py file."""
    tools = _tools(path, Path(path.name))
    if not tools:
        raise ImportRefused(f"The file {path} has no public function: name one that has, with def.")
    return tools


def read_skill(folder: Path) -> list[Snapshot]:
    """A skill: its SKILL.md as a concept, its .py files as tools."""
    path = folder / "SKILL.md"
    head, body = _split(path, _text(path))
    for field in ("name", "description"):
        if not isinstance(head.get(field), str) or not head[field].strip():
            raise ImportRefused(f"The head of {path} has no {field}: write it as a text between the two --- lines.")
    if not body.strip():
        raise ImportRefused(f"{path} has nothing after its head: write what to do there.")
    name = head["name"].strip()
    rest = {key: value for key, value in head.items() if key not in ("name", "description")}
    content: dict[str, Any] = {
        "title": name,
        "situation": head["description"].strip(),
        "suggestion": body.strip(),
    }
    if rest:  # under a field of their own: in a concept they could mean something else
        content["skill"] = _json(rest)
    try:
        concept = Snapshot(
            "concept",
            checked("concept", content),
            tags=(f"skill:{name}",),
            provenance={"source": f"{folder.name}/SKILL.md"},
        )
    except ContentRefused as error:
        raise ImportRefused(f"{path}: {error} Nothing was imported.") from error
    tools = [
        tool for file in _python_files(folder) for tool in _tools(file, Path(folder.name) / file.relative_to(folder))
    ]
    return [concept, *(tool.with_(tags=(f"skill:{name}",)) for tool in tools)]


def _python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.is_file() and not _hidden(path.relative_to(folder)))


def _tools(path: Path, shown: Path) -> list[Snapshot]:
    code = _text(path)
    try:
        return [
            Snapshot("tool", checked("tool", {"name": name, "code": code}), provenance={"source": shown.as_posix()})
            for name in public_functions_of(code)
        ]
    except ContentRefused as error:
        raise ImportRefused(f"{path}: {error} Nothing was imported.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"The file {path} cannot be read ({error}): nothing was imported.") from error


def _split(path: Path, text: str) -> tuple[dict[str, Any], str]:
    """The head between the first two lines of three hyphens, and what follows."""
    lines = text.splitlines()
    ends = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        raise ImportRefused(
            f"{path} does not begin with a head between two --- lines: write name and description there."
        )
    try:
        head = read_yaml("\n".join(lines[1 : ends[1]]))
    except YamlRefused as error:
        where = f", line {error.line + 1}" if error.line is not None else ""
        raise ImportRefused(
            f"The head of {path}{where} is no YAML that can be read ({error}): nothing was imported."
        ) from error
    if not isinstance(head, dict) or not all(isinstance(key, str) for key in head):
        raise ImportRefused(f"The head of {path} has no named fields: write name and description there.")
    return head, "\n".join(lines[ends[1] + 1 :])


def _json(value: Any) -> Any:
    """YAML's values as JSON's: what JSON does not have, such as a set, becomes its text."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
