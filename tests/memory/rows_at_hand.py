"""Small tools and concepts that many tests use."""

from typing import Any

from memory.values import Snapshot


def tool(name: str = "add", docstring: str = "Sum of two numbers.", *problems: str, **fields: Any) -> Snapshot:
    code = f'def {name}(a, b):\n    """{docstring}"""\n    return a + b\n'
    return Snapshot("tool", {"name": name, "code": code, "problems": list(problems), **fields})


def concept(title: str = "recolor", **fields: Any) -> Snapshot:
    return Snapshot("concept", {"title": title, "kind": "routine", **fields})


def lesson(situation: str, suggestion: str = "Try it.", **fields: Any) -> Snapshot:
    return Snapshot("concept", {"situation": situation, "suggestion": suggestion, **fields})
