"""From the text of a formula to a sympy expression, without evaluating any of it as Python.

In: a text like `2x^2 + sin(pi/4)`. Out: a sympy expression. sympy's own parsers end in `eval`; here the syntax tree is
walked, and only numbers, names, the four operations, powers and a fixed set of functions are known. Powers are judged
before they are computed. Neighbours: `mathematics`. sympy is loaded on the first use.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from toolsets.standard.bounds import limited

MAX_FORMULA: Final = 500
MAX_DIGITS: Final = 1_000
MAX_DEGREE: Final = 100
_MAX_NODES: Final = 300
_ROOT: Final = 10**30
_MAX_FACTORIAL: Final = 400
_MAX_SHOWN: Final = 4_000

_FUNCTIONS: Final = {
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "exp": "exp", "log": "log",
    "ln": "log", "sqrt": "sqrt", "abs": "Abs", "factorial": "factorial",
}  # fmt: skip
_CONSTANTS: Final = {"pi": "pi", "e": "E", "E": "E", "i": "I", "I": "I", "oo": "oo", "inf": "oo", "infinity": "oo"}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,19}")
_NUMBER: Final = re.compile(r"\d{1,100}(?:\.\d{0,100})?(?:[eE][+-]?\d{1,3})?|\.\d{1,100}", re.ASCII)
# 2x, 2(x+1), (x+1)(x-1), )x: a product without its sign. 2e5 is a number.
_PRODUCT: Final = re.compile(r"(?<![A-Za-z_0-9.])(\d+(?:\.\d+)?)(?=[A-Za-z(])(?![eE][+-]?\d)|\)(?=[A-Za-z0-9(])")
_OPERATIONS: Final[dict[type, str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


def read_formula(text: str) -> Any:
    """The expression; raises ValueError that says what cannot be read.

    >>> read_formula("2x^2 + 0.5")
    2*x**2 + 1/2
    """
    plain = limited(text.strip(), MAX_FORMULA, "formula").replace("^", "**").replace("−", "-").replace("·", "*")
    plain = _PRODUCT.sub(lambda match: f"{match[0]}*", plain)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{_shown(text)} is no formula: write it like 2*x^2 + sqrt(3).") from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ValueError(f"The formula has more than {_MAX_NODES} parts: use a shorter one.")
    return _Reader(plain).read(tree.body)


def read_equation(text: str) -> Any:
    """The expression that is zero where the equation holds; a formula without an equals sign counts as that."""
    left, sign, right = text.replace("==", "=").partition("=")
    if "=" in right:
        raise ValueError("An equation has one equals sign: write it like x^2 = 4.")
    return read_formula(left) - read_formula(right) if sign else read_formula(left)


def read_symbol(text: str) -> Any:
    """The variable of that name."""
    import sympy

    name = text.strip()
    if not _NAME.fullmatch(name) or name in _CONSTANTS or name in _FUNCTIONS:
        raise ValueError(f"{_shown(text)} is no variable: name it by a letter such as x.")
    return sympy.Symbol(name)


def show(expression: Any) -> str:
    """The expression as a text that `read_formula` reads."""
    try:
        text = str(expression)
    except ValueError:  # more digits than Python prints
        text = " " * (_MAX_SHOWN + 1)
    return limited(text, _MAX_SHOWN, "result (in characters)")


def check_growth(expression: Any) -> Any:
    """The expression itself; raises ValueError where multiplying it out would make more terms than anybody can use."""
    terms = math.comb(_degree(expression) + len(expression.free_symbols), len(expression.free_symbols) or 0)
    if terms > 3_000:
        raise ValueError("Multiplied out, the formula has thousands of terms: use smaller powers.")
    return expression


class _Reader:
    def __init__(self, text: str) -> None:
        import sympy

        self._sympy: Any = sympy
        self._text = text

    def read(self, node: ast.expr) -> Any:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
                return self._operation(_OPERATIONS[type(op)], self.read(left), self.read(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand)
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._number(node)
            case ast.Name(id=name):
                if name in _CONSTANTS:
                    return getattr(self._sympy, _CONSTANTS[name])
                return read_symbol(name)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return self._function(_FUNCTIONS[name], self.read(argument))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                # x(x + 1) is a product where x is a variable.
                if len(name) == 1:
                    return read_symbol(name) * self.read(argument)
        known = ", ".join(sorted(set(_FUNCTIONS)))
        raise ValueError(f"{_shown(ast.unparse(node))} is not understood: use + - * / ^, variables, and {known}.")

    def _number(self, node: ast.Constant) -> Any:
        # From the text, not from the float: 0.1 is one tenth.
        written = ast.get_source_segment(self._text, node) or ""
        if not _NUMBER.fullmatch(written):
            raise ValueError(f"{_shown(written)} is not understood as a number: write digits, at most 100.")
        return self._sympy.Rational(written.removesuffix("."))

    def _operation(self, sign: str, left: Any, right: Any) -> Any:
        if sign == "+":
            return left + right
        if sign == "-":
            return left - right
        if sign == "*":
            return left * right
        if sign == "/":
            if right == 0:
                raise ValueError("Division by zero has no result: give another divisor.")
            return left / right
        return self._power(left, right)

    def _power(self, base: Any, exponent: Any) -> Any:
        if base.is_Rational and exponent.is_Rational and not exponent.is_Integer and max(abs(base.p), base.q) > _ROOT:
            raise ValueError("A root of a number of more than 30 digits is not taken: use smaller numbers.")
        if base == 0 and exponent.is_negative:
            raise ValueError("Division by zero has no result: give another divisor.")
        if base.is_number and exponent.is_number and _digits(base) * _size(exponent) > MAX_DIGITS:
            raise ValueError(f"A power has more than {MAX_DIGITS} digits: use smaller numbers.")
        if base.free_symbols and exponent.is_number and not _size(exponent) <= MAX_DEGREE:
            raise ValueError(f"A power of a variable can be {MAX_DEGREE} at most: use a smaller one.")
        return base**exponent

    def _function(self, name: str, argument: Any) -> Any:
        if name == "sqrt":
            return self._power(argument, self._sympy.Rational(1, 2))
        whole = argument.is_Integer and 0 <= argument <= _MAX_FACTORIAL
        if name == "factorial" and argument.is_number and not whole:
            raise ValueError(f"A factorial is taken of whole numbers from 0 to {_MAX_FACTORIAL}.")
        if name == "exp":
            return self._power(self._sympy.E, argument)
        function: Callable[[Any], Any] = getattr(self._sympy, name)
        return function(argument)


def _size(number: Any) -> float:
    """The absolute value, roughly; infinity where it is beyond a float."""
    if number.is_infinite:
        # 1/oo and its kind are sympy's business, not a matter of size.
        return 1.0
    try:
        return float(abs(number)) if number.is_Rational else abs(complex(number.evalf(15)))
    except (TypeError, ValueError, OverflowError):
        return math.inf


def _digits(number: Any) -> float:
    """How many digits the number has before or after its point, or in its denominator; roughly."""
    if number.is_Rational:
        return math.log10(max(abs(number.p), number.q))
    size = _size(number)
    return abs(math.log10(size)) if 0 < size < math.inf else 0.0


def _degree(expression: Any) -> int:
    """At most this degree has the expression, if it is a polynomial."""
    if expression.is_Add:
        return max(map(_degree, expression.args))
    if expression.is_Mul:
        return sum(map(_degree, expression.args))
    if expression.is_Pow and expression.exp.is_Integer:
        return _degree(expression.base) * abs(int(expression.exp))
    return 1 if expression.free_symbols else 0


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
