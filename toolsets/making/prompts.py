"""What a model is told when tools are made: solve one problem, make the solution general, repair what failed.

In: a problem, a solution, what went wrong. Out: messages. Two steps as in CRAFT (arXiv 2309.17428, section 2.1,
"Generation" and "Abstraction"), in words of our own. The right answer is never told. Neighbours: `replies` reads what
comes back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from toolsets.chat import Message
from toolsets.making.problems import Problem
from toolsets.making.replies import Written

_RULES: Final = (
    "Answer with one Python block between lines of three backticks, and nothing after it. The standard library, numpy, "
    "pandas and sympy are at hand; there is no input, no file and no network. The block ends with one call whose value "
    "is the answer; do not print it."
)
_SOLVE: Final = (
    "You solve problems by writing Python. Write one function with typed parameters and a docstring, and call it. Do "
    f"the work in the code, not in your head. {_RULES}"
)
_ABSTRACT: Final = (
    "You turn the solution of one problem into a tool for many. Write exactly one public function; helpers begin with "
    "an underscore. Its name says what it does in general, without the names, numbers and things of this problem. "
    "Whatever may differ in another problem of the kind is a parameter with a type; nothing of the answer stands in "
    "the code. The first line of the docstring says what it does, then Args and Returns say what goes in and what "
    f"comes out. End with the call that solves the problem. {_RULES}"
)


def to_solve(problem: Problem, failed: Iterable[tuple[str, str]] = ()) -> list[Message]:
    """failed: replies that were tried, each with what was wrong with it."""
    return [Message("system", _SOLVE), Message("user", _asked(problem)), *_again(failed)]


def to_abstract(problem: Problem, solution: Written, failed: Iterable[tuple[str, str]] = ()) -> list[Message]:
    code = "\n\n".join(part for part in (solution.code, solution.call) if part)
    user = f"{_asked(problem)}\n\nThis solves it:\n\n```python\n{code}\n```"
    return [Message("system", _ABSTRACT), Message("user", user), *_again(failed)]


def _asked(problem: Problem) -> str:
    return f"{problem.text}\n\n{problem.table}" if problem.table else problem.text


def _again(failed: Iterable[tuple[str, str]]) -> Iterable[Message]:
    for reply, why in failed:
        yield Message("assistant", reply)
        yield Message("user", f"That does not do. {why} Write the whole block again.")
