"""Which tools' code a run's log keeps, and that it stands by itself."""

import functools
import importlib
import linecache
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from toolsets.shelf import sandboxed
from toolsets.standard import STANDARD
from toolsets.tool import Tool, tool
from workbench.offered import offered_tools
from workbench.sources import sources_of, standalone

FACTOR = 3


def scaled(n: int, how: Literal["up", "down"] = "up") -> float:
    """A number, scaled."""
    root = max(math.sqrt(one * one) for one in (n,))
    return root * FACTOR if how == "up" else root / FACTOR


@tool(effect="write")
def kept(text: str) -> str:
    """A text, kept."""
    return Path(text).name


def leaning(n: int) -> float:
    """Leans on a helper of this file."""
    return scaled(n)


def closed(by: int) -> Callable[[int], int]:
    def inner(n: int) -> int:
        """Times something that its code does not say."""
        return n * by

    return inner


@functools.lru_cache
def cached(n: int) -> int:
    """A number, remembered."""
    return n


def test_the_code_of_an_own_function_defines_it_anywhere() -> None:
    for function, given, value in ((scaled, 2, 6.0), (kept.function, "a/b", "b"), (cached, 4, 4)):
        code = standalone(function)
        assert code is not None
        space: dict[str, Any] = {}
        exec(code, space)
        assert space[function.__name__](given) == value
    assert "import math" in (standalone(scaled) or "")


@pytest.mark.parametrize("function", [leaning, closed(2), lambda n: n, len, "x".join], ids=repr)
def test_what_does_not_stand_by_itself_is_left_out(function: Any) -> None:
    assert standalone(function) is None


def test_code_that_was_edited_after_it_was_loaded_is_not_told_as_what_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_tools.py"
    file.write_text("def half(n: float) -> float:\n    return n / 2\n")
    half = importlib.import_module("edited_tools").half
    assert standalone(half) == "def half(n: float) -> float:\n    return n / 2"
    file.write_text("def half(n: float) -> float:\n    return n * 0.5 + 1\n")
    linecache.checkcache()
    assert standalone(half) is None


@pytest.mark.parametrize("imports", ["import math\n", "math = __import__('math')\n", "%load_ext x\nimport math\n"])
def test_how_a_function_came_to_its_modules_changes_nothing(imports: str) -> None:
    """A call of what the same text imports compiles otherwise; and a cell of a notebook may hold what is no Python."""
    code = "def third(n: float) -> float:\n    return math.fsum([n / 3])"
    name, space = f"<cell {imports}>", {"__name__": "cell"}
    text = f"{imports}{code}\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text.replace("%load_ext x", ""), name, "exec"), space)
    assert standalone(space["third"]) == f"import math\n\n\n{code}"


def test_tools_that_are_not_in_the_standard_set_are_kept_with_their_code() -> None:
    code = 'def twice(n: int) -> int:\n    """Twice."""\n    return 2 * n'
    offered = [STANDARD["gcd"], Tool.from_function(scaled), kept, Tool.from_function(leaning), sandboxed("twice", code)]
    found = sources_of({one.name: one for one in offered})
    assert [(one["name"], one["of"], one["effect"]) for one in found] == [
        ("scaled", "person", "read"),
        ("kept", "person", "write"),
        ("leaning", "process", "read"),
        ("twice", "library", "read"),
    ]
    assert [one["code"] for one in found[2:]] == ["", code]


def test_a_tool_that_is_offered_under_another_name_is_told_under_it() -> None:
    offered = offered_tools({"stretched": scaled, "common": "gcd", "lcm": "lcm"})
    assert [one.signature() for one in offered.values()] == [
        'stretched(n: int, how: "up" | "down" = "up")',
        "common(a: int, b: int)",
        "lcm(a: int, b: int)",
    ]
    # Code that defines it under its own name is of no use to whoever calls it by the other.
    assert [(one["name"], one["of"], one["code"]) for one in sources_of(offered)] == [
        ("stretched", "process", ""),
        ("common", "process", ""),
    ]
