"""Exact and symbolic mathematics, by sympy.

In: formulas as texts, read by `expressions`. Out: formulas as texts, numbers, lists of them. Every computation is
bounded by `bounds.bounded_work`. Neighbours: `toolsets.standard` makes tools of these functions.
"""

import math
import re
from typing import Any, Final

from toolsets.exact import bounded
from toolsets.standard.bounds import bounded_work, short_list
from toolsets.standard.expressions import check_growth, read_equation, read_formula, read_symbol, show

_MAX_PLACES: Final = 100
_MAX_EQUATIONS: Final = 6
_MAX_MATRIX: Final = 12
_MAX_FACTORED: Final = 10**40


def simplify_formula(formula: str) -> str:
    """Simplest form of a formula.

    >>> simplify_formula("sin(x)^2 + cos(x)^2")
    '1'
    >>> simplify_formula("(x^2 - 1)/(x - 1)")
    'x + 1'
    """
    import sympy

    with bounded_work():
        return show(sympy.simplify(check_growth(read_formula(formula))))


def expand_formula(formula: str) -> str:
    """Formula with its products multiplied out.

    >>> expand_formula("(x + 1)^3")
    'x**3 + 3*x**2 + 3*x + 1'
    """
    import sympy

    with bounded_work():
        return show(sympy.expand(check_growth(read_formula(formula))))


def factor_formula(formula: str) -> str:
    """Formula as a product of factors.

    >>> factor_formula("x^2 - 5x + 6")
    '(x - 3)*(x - 2)'
    """
    import sympy

    with bounded_work():
        return show(sympy.factor(check_growth(read_formula(formula))))


def substitute(formula: str, variable: str, value: str) -> str:
    """Formula with a value in the place of a variable, worked out exactly.

    >>> substitute("x^2 + y", "x", "3/2")
    'y + 9/4'
    """
    read_symbol(variable)
    with bounded_work():
        # Read anew with the value in its place, so that the bounds on powers hold for it too.
        return show(read_formula(_with_value(formula, variable.strip(), show(read_formula(value)))))


def exact_value(formula: str) -> str:
    """Exact value of a formula without variables.

    >>> exact_value("sqrt(8) + 1/3")
    '1/3 + 2*sqrt(2)'
    >>> exact_value("2^100")
    '1267650600228229401496703205376'
    """
    import sympy

    with bounded_work():
        return show(sympy.simplify(_closed(formula)))


def decimal_value(formula: str, digits: int = 15) -> str:
    """Decimal value of a formula without variables, to a number of significant digits.

    >>> decimal_value("pi", 30)
    '3.14159265358979323846264338328'
    >>> decimal_value("1/7", 6)
    '0.142857'
    """
    if not 1 <= digits <= _MAX_PLACES:
        raise ValueError(f"The digits must be between 1 and {_MAX_PLACES}.")
    read_formula("0")  # loads sympy, which is no part of the work
    with bounded_work():
        return show(_closed(formula).evalf(digits, maxn=2 * _MAX_PLACES))


def solve_equation(equation: str, variable: str = "x") -> list[str]:
    """Exact solutions of an equation.

    >>> solve_equation("x^2 = 4")
    ['-2', '2']
    >>> solve_equation("a*y = 6", "y")
    ['6/a']
    """
    import sympy

    with bounded_work():
        try:
            solutions = sympy.solve(check_growth(read_equation(equation)), read_symbol(variable))
        except NotImplementedError:
            raise ValueError("No exact solution is known: ask for a decimal value in another way.") from None
        return [show(solution) for solution in sorted(short_list(solutions), key=sympy.default_sort_key)]


def solve_system(equations: list[str]) -> list[dict[str, str]]:
    """Exact solutions of several equations, a record of the variables for each.

    >>> solve_system(["x + y = 5", "x - y = 1"])
    [{'x': '3', 'y': '2'}]
    """
    if not 1 <= len(equations) <= _MAX_EQUATIONS:
        raise ValueError(f"Give between 1 and {_MAX_EQUATIONS} equations.")
    import sympy

    with bounded_work():
        read = [check_growth(read_equation(equation)) for equation in equations]
        symbols = sorted({symbol for one in read for symbol in one.free_symbols}, key=str)
        if not symbols:
            raise ValueError("The equations have no variables: there is nothing to solve.")
        try:
            solutions = sympy.solve(read, symbols, dict=True)
        except NotImplementedError:
            raise ValueError("No exact solution is known: give simpler equations.") from None
        return [
            {str(symbol): show(value) for symbol, value in sorted(one.items(), key=lambda item: str(item[0]))}
            for one in solutions
        ]


def differentiate(formula: str, variable: str = "x", times: int = 1) -> str:
    """Derivative of a formula.

    >>> differentiate("x^3 + sin(x)")
    '3*x**2 + cos(x)'
    >>> differentiate("x^3", "x", 2)
    '6*x'
    """
    if not 1 <= times <= 10:
        raise ValueError("A derivative can be taken between 1 and 10 times.")
    import sympy

    with bounded_work():
        return show(sympy.diff(read_formula(formula), read_symbol(variable), times))


def integrate_formula(formula: str, variable: str = "x") -> str:
    """Antiderivative of a formula, without its constant.

    >>> integrate_formula("2x + cos(x)")
    'x**2 + sin(x)'
    """
    import sympy

    with bounded_work():
        return _integral(sympy.integrate(check_growth(read_formula(formula)), read_symbol(variable)))


def definite_integral(formula: str, start: str, end: str, variable: str = "x") -> str:
    """Integral of a formula between two bounds, exact.

    >>> definite_integral("x^2", "0", "3")
    '9'
    >>> definite_integral("exp(-x)", "0", "oo")
    '1'
    """
    import sympy

    with bounded_work():
        limits = (read_symbol(variable), _closed(start), _closed(end))
        return _integral(sympy.integrate(check_growth(read_formula(formula)), limits))


def limit_value(formula: str, point: str, variable: str = "x") -> str:
    """Limit of a formula as its variable nears a point.

    >>> limit_value("sin(x)/x", "0")
    '1'
    >>> limit_value("(1 + 1/n)^n", "oo", "n")
    'E'
    """
    import sympy

    with bounded_work():
        try:
            return show(sympy.limit(read_formula(formula), read_symbol(variable), _closed(point)))
        except NotImplementedError:
            raise ValueError("The limit is not known to be found: give a simpler formula.") from None


def prime_factors(n: int) -> list[int]:
    """Prime factors of a number, repeated as often as they divide it.

    >>> prime_factors(360)
    [2, 2, 2, 3, 3, 5]
    """
    if not 2 <= n < _MAX_FACTORED:
        raise ValueError("Prime factors are found for numbers from 2 up to 40 digits.")
    import sympy

    with bounded_work():
        return [int(prime) for prime, count in sorted(sympy.factorint(n).items()) for _ in range(count)]


def binomial(n: int, k: int) -> int:
    """Ways to choose some of a number of things.

    >>> binomial(49, 6)
    13983816
    """
    if not 0 <= n <= 2_000 or k < 0:
        raise ValueError("Give numbers of things between 0 and 2,000.")
    return bounded(math.comb(n, k))


def determinant(matrix: list[list[int | float]]) -> str:
    """Determinant of a square matrix, exact.

    >>> determinant([[1, 2], [3, 4]])
    '-2'
    """
    size = len(matrix)
    if not 1 <= size <= _MAX_MATRIX or any(len(row) != size for row in matrix):
        raise ValueError(f"Give a square matrix of up to {_MAX_MATRIX} rows, each as long as there are rows.")
    import sympy

    with bounded_work():
        return show(sympy.Matrix([[_rational(number) for number in row] for row in matrix]).det())


def _closed(formula: str) -> Any:
    expression = read_formula(formula)
    if expression.free_symbols:
        names = ", ".join(sorted(map(str, expression.free_symbols)))
        raise ValueError(f"The formula has variables ({names}): put numbers in their places first.")
    return expression


def _with_value(formula: str, variable: str, value: str) -> str:
    # A product may stand without its sign: 2x.
    return re.sub(rf"(?<![A-Za-z_]){re.escape(variable)}(?![A-Za-z_0-9])", f"({value})", formula)


def _integral(found: Any) -> str:
    import sympy

    if found.has(sympy.Integral):
        raise ValueError("No exact integral is known: give a simpler formula.")
    return show(found)


def _rational(number: int | float) -> Any:
    import sympy

    return sympy.Rational(bounded(number) if isinstance(number, int) else repr(number))
