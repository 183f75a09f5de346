"""Tables, by pandas: lists of records with the columns' names as keys.

In: rows of plain values, or CSV as a text. Out: rows of plain values. Conditions are given in parts, never as an
expression to be evaluated; the size of a join is known before it is made. Neighbours: `toolsets.standard` makes tools
of these functions. pandas is loaded on the first use.
"""

import io
import math
from typing import Any, Final, Literal, TypeAlias

from toolsets.standard.bounds import MAX_ITEMS, library, limited, short_list, short_text

Row: TypeAlias = dict[str, Any]
Condition: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "contains"]
Aggregate: TypeAlias = Literal["sum", "mean", "median", "min", "max", "count"]

_MAX_COLUMNS: Final = 100


def read_table(csv: str, separator: str = ",") -> list[Row]:
    """Table of a CSV text whose first line names the columns.

    >>> read_table("city,people\\nRome,2.8\\nOslo,0.7")
    [{'city': 'Rome', 'people': 2.8}, {'city': 'Oslo', 'people': 0.7}]
    """
    pd = library("pandas")

    if len(separator) != 1:
        raise ValueError("The separator must be exactly one character.")
    try:
        frame = pd.read_csv(io.StringIO(short_text(csv)), sep=separator, nrows=MAX_ITEMS + 1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"The text is no CSV table ({' '.join(str(error).split())[:100]}): check its lines.") from None
    return _rows(frame)


def write_table(rows: list[Row]) -> str:
    """Table as a CSV text.

    >>> write_table([{"a": 1, "b": "x"}])
    'a,b\\n1,x'
    """
    return str(_frame(rows).to_csv(index=False)).rstrip("\n")


def select_columns(rows: list[Row], columns: list[str]) -> list[Row]:
    """Table with some of its columns, in the order given.

    >>> select_columns([{"a": 1, "b": 2}], ["b"])
    [{'b': 2}]
    """
    frame = _frame(rows)
    for column in columns:
        _known(frame, column)
    return _rows(frame[list(dict.fromkeys(columns))])


def filter_rows(rows: list[Row], column: str, condition: Condition, value: str | int | float | bool) -> list[Row]:
    """Rows of a table whose column meets a condition.

    >>> filter_rows([{"n": 1}, {"n": 5}], "n", ">", 2)
    [{'n': 5}]
    """
    frame = _frame(rows)
    series = frame[_known(frame, column)]
    if condition == "contains":
        kept = series.astype(str).str.contains(str(value), regex=False)
    elif condition in ("=", "!="):
        kept = (series == value) if condition == "=" else (series != value)
    else:
        compare = {"<": series.lt, "<=": series.le, ">": series.gt, ">=": series.ge}[condition]
        try:
            kept = compare(value)
        except TypeError:
            raise ValueError(
                f"The values of {column!r} cannot be compared with {value!r}: give one of their kind."
            ) from None
    return _rows(frame[kept])


def sort_rows(rows: list[Row], column: str, descending: bool = False) -> list[Row]:
    """Rows of a table in the order of a column.

    >>> sort_rows([{"n": 2}, {"n": 1}], "n")
    [{'n': 1}, {'n': 2}]
    """
    frame = _frame(rows)
    try:
        return _rows(frame.sort_values(_known(frame, column), ascending=not descending, kind="stable"))
    except TypeError:
        raise ValueError(f"The values of {column!r} are of several kinds: sort by another column.") from None


def group_rows(rows: list[Row], by: str, column: str, aggregate: Aggregate) -> list[Row]:
    """One value for each group of rows: the sum, mean, median, least, greatest or count of a column.

    >>> group_rows([{"g": "a", "n": 1}, {"g": "b", "n": 2}, {"g": "a", "n": 3}], "g", "n", "sum")
    [{'g': 'a', 'n': 4}, {'g': 'b', 'n': 2}]
    """
    frame = _frame(rows)
    if by == column:
        raise ValueError("Group by one column and give the values of another.")
    groups = frame.groupby(_known(frame, by), sort=True)[_known(frame, column)]
    try:
        return _rows(groups.agg(aggregate).reset_index())
    except (TypeError, ValueError):
        raise ValueError(f"The values of {column!r} have no {aggregate}: give a column of numbers.") from None


def join_tables(left: list[Row], right: list[Row], on: str, keep_unmatched: bool = False) -> list[Row]:
    """Rows of two tables put together where they agree in a column.

    >>> join_tables([{"id": 1, "a": "x"}], [{"id": 1, "b": "y"}], "id")
    [{'id': 1, 'a': 'x', 'b': 'y'}]
    """
    pd = library("pandas")

    first, second = _frame(left), _frame(right)
    try:
        counts = first[_known(first, on)].value_counts(), second[_known(second, on)].value_counts()
        if sum(counts[0].mul(counts[1], fill_value=0)) > MAX_ITEMS:
            raise ValueError(f"The joined table would have more than {MAX_ITEMS:,} rows: join on another column.")
        return _rows(pd.merge(first, second, on=on, how="left" if keep_unmatched else "inner"))
    except TypeError:
        raise ValueError(f"The values of {on!r} cannot be matched: join on a column of texts or numbers.") from None


def describe_table(rows: list[Row]) -> list[Row]:
    """Columns of a table: how many values each has, how many different ones, and of numbers mean and extremes.

    >>> describe_table([{"n": 1}, {"n": 3}])
    [{'column': 'n', 'values': 2, 'different': 2, 'mean': 2, 'min': 1, 'max': 3}]
    """
    frame = _frame(rows)
    described = []
    for name in frame.columns:
        series = frame[name].dropna()
        row: Row = {"column": str(name), "values": len(series), "different": int(series.astype(str).nunique())}
        if series.dtype.kind in "iuf" and len(series):
            row |= {"mean": _plain(series.mean()), "min": _plain(series.min()), "max": _plain(series.max())}
        described.append(row)
    return described


def add_column(rows: list[Row], name: str, left: str, operation: Literal["+", "-", "*", "/"], right: str) -> list[Row]:
    """Table with a further column, computed from two others.

    >>> add_column([{"a": 6, "b": 2}], "c", "a", "/", "b")
    [{'a': 6, 'b': 2, 'c': 3}]
    """
    frame = _frame(rows)
    one, other = frame[_known(frame, left)], frame[_known(frame, right)]
    if one.dtype.kind not in "iuf" or other.dtype.kind not in "iuf":
        raise ValueError(f"{left!r} and {right!r} are not both columns of numbers: compute with such columns.")
    if operation == "/":
        frame[name] = one / other.where(other != 0)
    else:
        frame[name] = {"+": one.add, "-": one.sub, "*": one.mul}[operation](other)
    return _rows(frame)


def column_values(rows: list[Row], column: str) -> list[Any]:
    """Values of one column of a table.

    >>> column_values([{"n": 1}, {"n": 2}], "n")
    [1, 2]
    """
    frame = _frame(rows)
    return [_plain(value) for value in frame[_known(frame, column)]]


def _frame(rows: list[Row]) -> Any:
    pd = library("pandas")

    frame = pd.DataFrame(short_list(rows))
    limited(frame.columns, _MAX_COLUMNS, "list of columns")
    return frame


def _known(frame: Any, column: str) -> str:
    if column not in frame.columns:
        names = ", ".join(str(name)[:40] for name in frame.columns[:20]) or "no columns"
        raise ValueError(f"The table has no column {column[:40]!r}: it has {names}.")
    return column


def _rows(frame: Any) -> list[Row]:
    limited(frame, MAX_ITEMS, "table (in rows)")
    limited(frame.columns, _MAX_COLUMNS, "list of columns")
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in frame.itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    """A plain Python value; nothing for a missing one, a whole number for one that is whole."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value
