"""The standard set of tools: the built-in twenty, and some forty more for mathematics, dates, units, text, tables and
statistics.

In: nothing. Out: `STANDARD`, tools by name. Neighbours: each file here holds plain functions with examples that are
tested; sympy, pint and pandas are loaded by the first call that needs them, never by importing this.
"""

from collections.abc import Callable
from typing import Any, Final

from toolsets.builtin import BUILTINS
from toolsets.standard import dates, mathematics, statistics, tables, texts, units
from toolsets.tool import Tool

_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (
    mathematics.simplify_formula,
    mathematics.expand_formula,
    mathematics.factor_formula,
    mathematics.substitute,
    mathematics.exact_value,
    mathematics.decimal_value,
    mathematics.solve_equation,
    mathematics.solve_system,
    mathematics.differentiate,
    mathematics.integrate_formula,
    mathematics.definite_integral,
    mathematics.limit_value,
    mathematics.prime_factors,
    mathematics.binomial,
    mathematics.determinant,
    dates.add_months,
    dates.age_in_years,
    dates.workdays_between,
    dates.add_workdays,
    dates.day_of_year,
    dates.week_of_year,
    dates.is_leap_year,
    dates.time_between,
    dates.convert_time_zone,
    dates.unix_time,
    units.convert_quantity,
    units.unit_dimension,
    units.base_units,
    units.compare_quantities,
    texts.count_words,
    texts.word_frequencies,
    texts.find_text,
    texts.replace_text,
    texts.split_text,
    texts.join_texts,
    texts.change_case,
    texts.extract_numbers,
    texts.slice_text,
    texts.edit_distance,
    texts.is_palindrome,
    texts.sort_texts,
    texts.unique_items,
    tables.read_table,
    tables.write_table,
    tables.select_columns,
    tables.filter_rows,
    tables.sort_rows,
    tables.group_rows,
    tables.join_tables,
    tables.describe_table,
    tables.add_column,
    tables.column_values,
    statistics.sum_numbers,
    statistics.smallest,
    statistics.largest,
    statistics.variance,
    statistics.standard_deviation,
    statistics.most_frequent,
    statistics.percentile,
    statistics.weighted_mean,
    statistics.correlation,
    statistics.fit_line,
    statistics.describe_numbers,
    statistics.running_totals,
)

STANDARD: Final[dict[str, Tool]] = BUILTINS | {
    function.__name__: Tool.from_function(function, idempotent=True) for function in _FUNCTIONS
}
