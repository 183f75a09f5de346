"""The tools and queries that ship with the project to measure retrieval: hand-written ones, and families of them.

In: `data/retrieval/tools.txt` and `foreign.txt`, which a person wrote, and the families below, where one sentence frame
makes tools that differ in a single word, as tools of one library do. Out: tools and queries, the same every time. The
code of a tool is there to be read, not to be run. The problems that a tool came from and the queries that ask for it
are told in other words and of other things. Neighbours: evaluation_set makes the sets of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True, slots=True)
class ToolText:
    """A tool, the problems it came from, and queries that it is right for."""

    name: str
    code: str
    problems: tuple[str, ...]
    queries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Data:
    """What numbers can stand in, and how problems and queries tell of it."""

    name: str
    docstring: str
    argument: str
    values: str
    problem: str
    query: str


_WHERE: Final = (
    _Data(
        "values",
        "of a list of numbers",
        "numbers",
        "numbers",
        "The ages of the players are 12, 31, 25, 18 and 40.",
        "Look at the measurements 4.5, 7, 3.9, 8.8 and 6.1.",
    ),
    _Data(
        "groups_in_stem_leaf",
        "of a stem-and-leaf plot",
        "plot",
        "[10 * stem + leaf for stem, leaves in plot.items() for leaf in leaves]",
        "The stem-and-leaf plot shows the number of books in each library: 3 | 1 4, 4 | 0 2 9, 5 | 6.",
        "Stems are tens and leaves are ones: 2 | 5 5 8, 6 | 1, 7 | 0 3. They tell the pages of each magazine.",
    ),
    _Data(
        "rows_in_column",
        "of a column of a table",
        "table",
        "table['value']",
        "A table has the columns city and rainfall: Rome | 80, Oslo | 64, Cairo | 2.",
        "Given a spreadsheet with one line for each employee and her sick days beside the name.",
    ),
)

# word in the name, in the docstring, the test, the problem's question, the query's question
_COUNTS: Final = (
    ("above", "above a threshold", "value > a", "How many are more than 30?", "Tell how many exceed six."),
    ("below", "below a threshold", "value < a", "How many are fewer than 30?", "Tell how many fall short of six."),
    ("at_least", "at least a threshold", "value >= a", "How many are at least 30?", "How many reach six or pass it?"),
    ("at_most", "at most a threshold", "value <= a", "How many are at most 30?", "How many stay at six or under it?"),
    ("equal_to", "equal to a value", "value == a", "How many are exactly 31?", "How many hit six on the nose?"),
    (
        "between", "between two bounds", "a <= value <= b", "How many are between 15 and 35?",
        "How many lie in the interval from five to nine?",
    ),
)  # fmt: skip

# name, docstring, expression, the problem's question, the query's question
_SUMMARIES: Final = (
    ("total", "Total", "sum(values)", "What is the total?", "What do they come to when all are added up?"),
    ("mean", "Mean", "sum(values) / len(values)", "What is the mean?", "What is their average?"),
    ("median", "Median", "statistics.median(values)", "What is the median?", "Which one stands in the middle by size?"),
    ("mode", "Mode", "statistics.mode(values)", "What is the mode?", "Which value turns up most often?"),
    ("range", "Range", "max(values) - min(values)", "What is the range?", "How far apart are the two extremes?"),
    ("largest", "Largest", "max(values)", "What is the largest number?", "What is the top value?"),
    ("smallest", "Smallest", "min(values)", "What is the smallest number?", "Which is the lowest of all?"),
)


def tools() -> list[ToolText]:
    """All tools, each name once."""
    return [*_hand_written(), *_counting(), *_summarizing()]


def foreign_queries() -> list[str]:
    """Queries that no tool answers."""
    return [line for line in _file("foreign.txt").splitlines() if line and not line.startswith("#")]


def _hand_written() -> Iterator[ToolText]:
    for line in _file("tools.txt").splitlines():
        if line and not line.startswith("#"):
            signature, docstring, expression, problems, queries = line.split(" :: ")
            code = _code(signature, docstring, [f"return {expression}"])
            yield ToolText(signature.partition("(")[0], code, _sentences(problems), _sentences(queries))


def _counting() -> Iterator[ToolText]:
    for data in _WHERE:
        for word, condition, test, asked, wanted in _COUNTS:
            name = f"count_{data.name}_{word}"
            bounds = "a, b" if "b" in test.split() else "a"
            code = _code(
                f"{name}({data.argument}, {bounds})",
                f"Count the numbers {data.docstring} that are {condition}.",
                [f"return sum({test} for value in {data.values})"],
            )
            yield ToolText(
                name, code, (f"{data.problem} {asked}",), (f"{data.query} {wanted}", f"{wanted} {data.query}")
            )


def _summarizing() -> Iterator[ToolText]:
    for data in _WHERE:
        for word, what, expression, asked, wanted in _SUMMARIES:
            name = f"{word}_of_{data.name}"
            lines = [f"values = list({data.values})", f"return {expression}"]
            code = _code(f"{name}({data.argument})", f"{what} of the numbers {data.docstring}.", lines)
            yield ToolText(name, code, (f"{data.problem} {asked}",), (f"{data.query} {wanted}",))


def _code(signature: str, docstring: str, lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f'def {signature}:\n    """{docstring}"""\n{body}\n'


def _sentences(field: str) -> tuple[str, ...]:
    return tuple(text.strip() for text in field.split(";;") if text.strip())


def _file(name: str) -> str:
    return (resources.files("memory") / "data" / "retrieval" / name).read_text(encoding="utf-8")
