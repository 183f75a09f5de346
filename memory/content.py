"""What the content of a row holds, and the check that it does.

In: a kind and an object of named fields. Out: the content as it is kept, or one sentence that says what is missing.
A tool has `name`, `code` and `problems`; a concept is described in `concepts`. Fields that nobody here knows are kept.

    {"name": "gcd", "code": "def gcd(a, b): ...", "problems": [{"text": "...", "answer": "6", "call": "gcd(12, 18)"}]}

Code is parsed, never run. Neighbours: store checks every write through `checked`, views and importers read
`tool_facts`, `toolsets` parses with `parsed`.
"""

import ast
import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from memory.concepts import checked_concept
from memory.errors import ContentRefused
from memory.fields import optional_text, problem_list, required_text
from memory.values import Content, Kind, checked_content

MAX_CODE_CHARACTERS: Final = 200_000
"""Beyond this a text is no tool but an accident, and parsing it would hold everybody up."""


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What a tool's code says of itself."""

    name: str
    signature: str
    docstring: str

    @property
    def first_line(self) -> str:
        return self.docstring.strip().splitlines()[0].strip() if self.docstring.strip() else ""


def checked(kind: Kind, content: Content) -> dict[str, Any]:
    """The content as it is kept; raises ContentRefused."""
    plain = checked_content(content)
    if kind == "tool":
        return _checked_tool(plain)
    if kind == "concept":
        return checked_concept(plain)
    raise ContentRefused(f"A library keeps tools and concepts, not {kind!r}: name one of the two kinds.")


def functions_of(code: str) -> tuple[str, ...]:
    """The names of the functions at the top of a file, in order; raises ContentRefused where it is no Python."""
    return tuple(node.name for node in _functions(parsed(code)))


def public_functions_of(code: str) -> tuple[str, ...]:
    return tuple(name for name in functions_of(code) if not name.startswith("_"))


@functools.lru_cache(maxsize=4096)
def tool_facts(code: str, name: str | None = None) -> ToolFacts:
    """The facts of the function `name`, or of the only public one; raises ContentRefused."""
    functions = {node.name: node for node in _functions(parsed(code))}
    if name is None:
        name = _only_name(tuple(functions))
    if name not in functions:
        found = ", ".join(functions) or "none"
        raise ContentRefused(
            f"The code of the tool {name!r} defines no function of that name at its top (it defines: {found}): "
            "name one that it defines."
        )
    node = functions[name]
    try:
        signature = f"{name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    except (RecursionError, ValueError) as error:  # a default that is a sum of hundreds of terms, or a huge number
        raise ContentRefused(f"The signature of {name!r} is too long to be told: make it shorter.") from error
    # Half a character may be spelled in a docstring, and no embedder and no file can take it.
    docstring = (ast.get_docstring(node) or "").encode("utf-8", "replace").decode("utf-8")
    return ToolFacts(name, signature, docstring)


def _checked_tool(content: dict[str, Any]) -> dict[str, Any]:
    code = required_text(content, "code", "The tool")
    if len(code) > MAX_CODE_CHARACTERS:
        raise ContentRefused(
            f"The tool's code has {len(code)} characters, more than {MAX_CODE_CHARACTERS}: keep only the function."
        )
    facts = tool_facts(code, optional_text(content, "name", "The tool"))
    problems = problem_list(content, f"The tool {facts.name!r}")
    return {**content, "name": facts.name, "code": code, "problems": problems}


def _only_name(functions: Sequence[str]) -> str:
    public = [name for name in functions if not name.startswith("_")]
    if len(public) == 1:
        return public[0]
    if not public:
        raise ContentRefused("The tool's code defines no public function: write it as `def name(...)` at the top.")
    raise ContentRefused(
        f"The tool's code defines {len(public)} functions ({', '.join(public)}): say which one is the tool, or start "
        "the names of its helpers with an underscore."
    )


def _functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parsed(code: str) -> ast.Module:
    """The code's syntax tree; raises ContentRefused where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a stranger's code warns of is not this program's warning
            return ast.parse(code)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        raise ContentRefused(f"The code is not Python ({error.msg}{where}): repair it.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise ContentRefused(f"The code cannot be read ({reason}): repair it.") from error
